// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"fmt"

	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/timefmt"
)

// syslog parses messages of RFC 3164 and RFC 5424, as they are sent and, without a priority, as rsyslog and syslog-ng write
// them to files:
//
//	<34>Oct 11 22:14:15 mymachine su[230]: text
//	2026-10-11T22:14:15.003Z mymachine su[230]: text
//	<165>1 2003-10-11T22:14:15.003Z mymachine evntslog 230 ID47 [exampleSDID@32473 iut="3"] text
//
//	field              what                                     JSON
//	level, facility    of the priority: error, daemon           string
//	hostname, program                                           string
//	pid                as the program reports it, usually a number  string
//	msgid              RFC 5424                                 string
//	structured_data    RFC 5424: by id and name                 object
//	message                                                     string
//
// The time becomes the record's. time_zone is the zone of times without one.
type syslog struct {
	short, iso                                                    *timefmt.Parser
	level, facility, hostname, program, pid, msgid, data, message member
	scratch                                                       []byte
}

// syslogLevels and syslogFacilities are the names of numbers (RFC 5424, 6.2.1).
var (
	syslogLevels     = [8]string{"emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"}
	syslogFacilities = [24]string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
		"audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}
)

func newSyslog(options map[string]string, n *names) (*syslog, error) {
	short, err := timefmt.New("%b %d %H:%M:%S", options["time_zone"])
	if err != nil {
		return nil, fmt.Errorf("format.time_zone: %w", err)
	}
	iso, err := timefmt.New("rfc3339", options["time_zone"])
	return &syslog{short: short, iso: iso, level: n.member("level"), facility: n.member("facility"), hostname: n.member("hostname"),
		program: n.member("program"), pid: n.member("pid"), msgid: n.member("msgid"), data: n.member("structured_data"),
		message: n.member("message")}, err
}

// parse implements parser.
func (f *syslog) parse(b *record.Batch, r *record.Record) problem {
	p := r.Line
	at, a := len(b.Arena), b.Arena
	if len(p) > 2 && p[0] == '<' {
		end := digits(p, 1)
		priority, _ := integer(p[1:min(end, 5)])
		if end == len(p) || p[end] != '>' || end == 1 || priority > 191 {
			return unparsed("no priority was found", 0)
		}
		a = f.level.appendWord(a, syslogLevels[priority%8])
		a = f.facility.appendWord(a, syslogFacilities[priority/8])
		p = p[end+1:]
	}
	var (
		ns int64
		ok bool
	)
	if starts(p, "1 ") {
		a, ns, ok = f.structured(a, p[2:], r.Time)
	} else {
		a, ns, ok = f.plain(a, p, r.Time)
	}
	if !ok {
		return unparsed("no header of syslog was found", len(r.Line)-len(p))
	}
	r.Time = ns
	f.scratch = trimmed(f.scratch)
	finish(b, r, a, at)
	return problem{}
}

// plain parses what follows the priority in RFC 3164.
func (f *syslog) plain(a, p []byte, ref int64) (_ []byte, ns int64, ok bool) {
	const width = len("Oct 11 22:14:15")
	switch {
	case len(p) > width && shape("A _0 00:00:00 ").fits(p):
		ns, ok = f.short.Parse(p[:width], ref)
		p = p[width+1:]
	case len(p) > 0 && isDigit(p[0]):
		var time []byte
		if time, p, ok = bytes.Cut(p, blank); ok {
			ns, ok = f.iso.Parse(time, ref)
		}
	}
	if !ok {
		return a, 0, false
	}
	host, rest, more := bytes.Cut(p, blank)
	if more && len(host) > 0 && host[len(host)-1] != ':' {
		a = f.hostname.appendText(a, host)
		p = rest
	}
	n := 0
	for n < len(p) && n < 64 && p[n] > ' ' && p[n] < 0x7f && p[n] != ':' && p[n] != '[' {
		n++
	}
	if n > 0 && n < len(p) {
		program, pid, end := p[:n], []byte(nil), n
		if p[n] == '[' {
			if close := bytes.IndexByte(p[n:], ']'); close > 0 {
				pid, end = p[n+1:n+close], n+close+1
			}
		}
		if end < len(p) && p[end] == ':' {
			a = f.program.appendText(a, program)
			if len(pid) > 0 {
				a = f.pid.appendText(a, pid)
			}
			p = bytes.TrimPrefix(p[end+1:], blank)
		}
	}
	return f.message.appendText(a, p), ns, true
}

// structured parses what follows the version in RFC 5424.
func (f *syslog) structured(a, p []byte, ref int64) (_ []byte, ns int64, ok bool) {
	time, p, ok := bytes.Cut(p, blank)
	if !ok {
		return a, 0, false
	}
	if ns = ref; string(time) != "-" {
		if ns, ok = f.iso.Parse(time, ref); !ok {
			return a, 0, false
		}
	}
	for _, name := range []member{f.hostname, f.program, f.pid, f.msgid} {
		var value []byte
		if value, p, ok = bytes.Cut(p, blank); !ok {
			return a, 0, false
		}
		if string(value) != "-" {
			a = name.appendText(a, value)
		}
	}
	if starts(p, "-") {
		p = p[1:]
	} else if a, p, ok = f.structuredData(a, p); !ok {
		return a, 0, false
	}
	p = bytes.TrimPrefix(bytes.TrimPrefix(p, blank), []byte("\ufeff"))
	return f.message.appendText(a, p), ns, true
}

// structuredData appends [id name="value" …][…] as an object of objects. Equal ids and names all stay, as JSON allows.
func (f *syslog) structuredData(a, p []byte) (_, rest []byte, ok bool) {
	a = append(append(a, f.data...), '{')
	for first := true; len(p) > 0 && p[0] == '['; first = false {
		n := 1
		for n < len(p) && p[n] > ' ' && p[n] != ']' && p[n] != '=' && p[n] != '"' {
			n++
		}
		if n == 1 || n == len(p) {
			return a, p, false
		}
		if !first {
			a = append(a, ',')
		}
		a = append(record.AppendBytes(a, p[1:n]), ':', '{')
		p = p[n:]
		for some := false; len(p) > 0 && p[0] == ' '; some = true {
			eq := bytes.Index(p, []byte(`="`))
			if eq < 2 || bytes.IndexByte(p[1:eq], ']') >= 0 {
				return a, p, false
			}
			end := closing(p, eq+2)
			if end < 0 {
				return a, p, false
			}
			if some {
				a = append(a, ',')
			}
			f.scratch = f.scratch[:0]
			for i := eq + 2; i < end; i++ {
				if p[i] == '\\' && i+1 < end && (p[i+1] == '"' || p[i+1] == '\\' || p[i+1] == ']') {
					i++
				}
				f.scratch = append(f.scratch, p[i])
			}
			a = append(record.AppendBytes(a, p[1:eq]), ':')
			a = record.AppendBytes(a, f.scratch)
			p = p[end+1:]
		}
		if len(p) == 0 || p[0] != ']' {
			return a, p, false
		}
		a, p = append(a, '}'), p[1:]
	}
	return append(a, '}'), p, a[len(a)-1] == '}'
}
