// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"fmt"

	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/timefmt"
)

// apacheError parses lines of Apache's error log, of 2.2 and 2.4:
//
//	[Wed Oct 11 14:32:52 2000] [error] [client 127.0.0.1] text
//	[Fri Sep 09 10:42:29.902022 2011] [core:error] [pid 35708:tid 4328636416] (13)Permission denied: [client [::1]:52341] AH00035: text, referer: http://…
//
// From the level debug on, the place in Apache's source, mod_ssl.c(820):, may precede the client.
//
//	field               what                                         JSON
//	module              2.4                                          string
//	level                                                            string
//	pid, tid            2.4                                          number
//	client, client_port whose request it was about; the port in 2.4  string, number
//	error_code          AH00035                                      string
//	file, line          of Apache's source                           string, number
//	http_referer                                                     string
//	message             the text, with the system's error before it  string
//
// The time becomes the record's. It has no zone of its own, so time_zone gives it.
type apacheError struct {
	time, iso                                                                 *timefmt.Parser
	module, level, pid, tid, client, port, code, file, line, referer, message member
}

func newApacheError(options map[string]string, name func(key string) member) (*apacheError, error) {
	time, err := timefmt.New("%a %b %d %H:%M:%S %Y", options["time_zone"])
	if err != nil {
		return nil, fmt.Errorf("format.time_zone: %w", err)
	}
	iso, err := timefmt.New("rfc3339", options["time_zone"])
	return &apacheError{time: time, iso: iso, module: name("module"), level: name("level"), pid: name("pid"),
		tid: name("tid"), client: name("client"), port: name("client_port"), code: name("error_code"), file: name("file"),
		line: name("line"), referer: name("http_referer"), message: name("message")}, err
}

// parse implements parser.
func (f *apacheError) parse(b *record.Batch, r *record.Record) problem {
	text, rest, ok := bracketed(r.Line)
	if !ok {
		return unparsed("no time in brackets was found", 0)
	}
	time := f.time
	if len(text) > 4 && text[4] == '-' { // %{cu}t
		time = f.iso
	}
	ns, ok := time.Parse(text, r.Time)
	if !ok {
		return unparsed("the time was not understood", 1)
	}
	level, rest, ok := bracketed(rest)
	if !ok || len(level) == 0 {
		return unparsed("no level in brackets was found", len(text)+2)
	}
	at, a := len(b.Arena), b.Arena
	if module, word, ok := bytes.Cut(level, []byte(":")); ok {
		if level = word; len(module) > 0 {
			a = f.module.appendText(a, module)
		}
	}
	a = f.level.appendText(a, level)
	process, rest, ports := prefixed(rest, "pid ") // 2.4, which logs the client's port
	if ports {
		a = f.process(a, process)
	}
	a = f.text(a, rest, ports)
	r.Time = ns
	finish(b, r, a, at)
	return problem{}
}

// bracketed splits [text] and a blank off the beginning of p. Brackets within the text are paired: [client [::1]:80].
func bracketed(p []byte) (text, rest []byte, ok bool) {
	depth := 0
	for i, c := range p {
		switch {
		case c == '[':
			depth++
		case c == ']':
			depth--
		}
		if depth > 0 {
			continue
		}
		if i == 0 {
			return nil, p, false
		}
		if rest = p[i+1:]; len(rest) > 0 && rest[0] == ' ' {
			rest = rest[1:]
		}
		return p[1:i], rest, true
	}
	return nil, p, false
}

// prefixed is bracketed for a text that begins with word, which it removes.
func prefixed(p []byte, word string) (text, rest []byte, ok bool) {
	if len(p) < len(word)+1 || p[0] != '[' || string(p[1:len(word)+1]) != word {
		return nil, p, false
	}
	text, rest, ok = bracketed(p)
	if !ok {
		return nil, p, false
	}
	return text[len(word):], rest, true
}

// process appends pid, or pid:tid PID and TID.
func (f *apacheError) process(a, p []byte) []byte {
	pid, tid, _ := bytes.Cut(p, []byte(":tid "))
	if len(pid) > 0 && digits(pid, 0) == len(pid) {
		a = f.pid.appendNumber(a, pid)
	}
	if len(tid) > 0 && digits(tid, 0) == len(tid) {
		a = f.tid.appendNumber(a, tid)
	}
	return a
}

// text appends what follows the brackets of every line: the system's error, the client, a code, the message and the referer.
// Only the message is always there.
func (f *apacheError) text(a, p []byte, ports bool) []byte {
	if file, line, rest := sourceLine(p); file != nil {
		a = f.file.appendText(a, file)
		a, p = f.line.appendNumber(a, line), rest
	}
	system, p := systemError(p)
	if client, rest, ok := prefixed(p, "client "); ok {
		a, p = f.address(a, client, ports), rest
	}
	if len(p) > 9 && p[0] == 'A' && p[1] == 'H' && digits(p, 2) == 7 && p[7] == ':' {
		a = f.code.appendText(a, p[:7])
		p = bytes.TrimPrefix(p[8:], blank)
	}
	if i := bytes.LastIndex(p, []byte(", referer: ")); i >= 0 {
		a = f.referer.appendText(a, p[i+len(", referer: "):])
		p = p[:i]
	}
	if f.message == "" {
		return a
	}
	if len(system) == 0 {
		return f.message.appendText(a, p)
	}
	// Two strings become one: the second overwrites the closing quote of the first, and a blank its own opening one.
	a = f.message.appendText(a, system)
	end := len(a) - 1
	a = record.AppendBytes(a[:end], p)
	a[end] = ' '
	return a
}

// systemError splits (13)Permission denied: off the beginning of p.
func systemError(p []byte) (system, rest []byte) {
	if len(p) == 0 || p[0] != '(' {
		return nil, p
	}
	end := digits(p, 1)
	if end == 1 || end == len(p) || p[end] != ')' {
		return nil, p
	}
	n := bytes.Index(p[end:], []byte(": "))
	if n < 0 {
		return nil, p
	}
	return p[:end+n+1], p[end+n+2:]
}

// sourceLine splits mod_ssl.c(820): off the beginning of p.
func sourceLine(p []byte) (file, line, rest []byte) {
	open := bytes.IndexByte(p[:min(len(p), 100)], '(')
	if open < 3 || p[open-2] != '.' || p[open-1] != 'c' && p[open-1] != 'h' {
		return nil, nil, p
	}
	for _, c := range p[:open] {
		if !isAlnum(c) && c != '_' && c != '-' && c != '.' && c != '/' {
			return nil, nil, p
		}
	}
	end := digits(p, open+1)
	if end == open+1 || !starts(p[end:], "): ") {
		return nil, nil, p
	}
	return p[:open], p[open+1 : end], p[end+3:]
}

// address appends the client, without its port in 2.2 and with it in 2.4.
func (f *apacheError) address(a, p []byte, ports bool) []byte {
	host, port := p, []byte(nil)
	if ports {
		host, port = splitPort(p)
	}
	a = f.client.appendText(a, host)
	if len(port) > 0 {
		a = f.port.appendNumber(a, port)
	}
	return a
}
