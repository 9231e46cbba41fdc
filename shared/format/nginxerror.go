// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"fmt"

	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/timefmt"
)

// nginxError parses lines of nginx's error log (ngx_log.c and ngx_http_request.c):
//
//	2026/10/10 13:55:36 [error] 29#31: *1 open() "/x" failed (2: …), client: 192.0.2.7, server: localhost, request: "GET /x HTTP/1.1", upstream: "…", host: "shop.example", referrer: "…"
//
//	field                              what                                  JSON
//	level                                                                    string
//	pid, tid, connection               connection if it is about one         number
//	message                            what precedes the client              string
//	client, server, request,           whose request it was about, in which  string
//	subrequest, upstream               server
//	http_host, http_referer            host and referrer                     string
//	extra                              what else follows the client          string
//
// The time becomes the record's. It has no zone of its own, so time_zone gives it.
type nginxError struct {
	time                                        *timefmt.Parser
	level, pid, tid, connection, message, extra member
	context                                     [7]member // by nginxContext
}

// nginxContext holds the words before nginx's details of a request, in its order, and the fields that they become.
var nginxContext = [7]struct{ word, field string }{
	{", client: ", "client"}, {", server: ", "server"}, {", request: ", "request"}, {", subrequest: ", "subrequest"},
	{", upstream: ", "upstream"}, {", host: ", "http_host"}, {", referrer: ", "http_referer"},
}

func newNginxError(options map[string]string, name func(key string) member) (*nginxError, error) {
	time, err := timefmt.New("%Y/%m/%d %H:%M:%S", options["time_zone"])
	if err != nil {
		return nil, fmt.Errorf("format.time_zone: %w", err)
	}
	f := &nginxError{time: time, level: name("level"), pid: name("pid"), tid: name("tid"), connection: name("connection"),
		message: name("message"), extra: name("extra")}
	for i, c := range nginxContext {
		f.context[i] = name(c.field)
	}
	return f, nil
}

// parse implements parser.
func (f *nginxError) parse(b *record.Batch, r *record.Record) problem {
	const width = len("2026/10/10 13:55:36")
	p := r.Line
	if len(p) < width+2 || p[width] != ' ' {
		return unparsed("no time was found", 0)
	}
	ns, ok := f.time.Parse(p[:width], r.Time)
	if !ok {
		return unparsed("the time was not understood", 0)
	}
	level, rest, ok := bracketed(p[width+1:])
	if !ok || len(level) == 0 {
		return unparsed("no level in brackets was found", width)
	}
	at, a := len(b.Arena), b.Arena
	a = f.level.appendText(a, level)
	a, rest = f.process(a, rest)
	message, context := splitContext(rest)
	a = f.message.appendText(a, message)
	a = f.request(a, context)
	r.Time = ns
	finish(b, r, a, at)
	return problem{}
}

// process splits 29#31: *1 off the beginning of p.
func (f *nginxError) process(a, p []byte) (_, rest []byte) {
	pid := digits(p, 0)
	if pid == 0 || pid == len(p) || p[pid] != '#' {
		return a, p
	}
	tid := digits(p, pid+1)
	if tid == pid+1 || !starts(p[tid:], ": ") {
		return a, p
	}
	a = f.pid.appendNumber(a, p[:pid])
	a = f.tid.appendNumber(a, p[pid+1:tid])
	rest = p[tid+2:]
	if end := digits(rest, min(1, len(rest))); end > 1 && rest[0] == '*' && end < len(rest) && rest[end] == ' ' {
		a = f.connection.appendNumber(a, rest[1:end])
		rest = rest[end+1:]
	}
	return a, rest
}

// splitContext splits p before the client. It ignores text in quotes, such as a path, which the client wrote, unless there is
// no other.
func splitContext(p []byte) (message, context []byte) {
	client := []byte(nginxContext[0].word)
	first := -1
	for from, quoted := 0, false; ; {
		i := bytes.Index(p[from:], client)
		if i < 0 {
			break
		}
		i += from
		if first < 0 {
			first = i
		}
		if quoted = quoted != (bytes.Count(p[from:i], []byte{'"'})%2 == 1); !quoted {
			return p[:i], p[i:]
		}
		from = i + len(client)
	}
	if first < 0 {
		return p, nil
	}
	return p[:first], p[first:]
}

// request appends the details of the request.
func (f *nginxError) request(a, p []byte) []byte {
	for i := range nginxContext {
		word := nginxContext[i].word
		if !starts(p, word) {
			continue
		}
		var value []byte
		value, p = contextValue(p[len(word):], i+1)
		if len(value) > 0 {
			a = f.context[i].appendText(a, value)
		}
	}
	if len(p) > 0 {
		a = f.extra.appendText(a, bytes.TrimPrefix(p, []byte(", ")))
	}
	return a
}

// contextValue splits a value off the beginning of p. In quotes it ends at the first quote that is followed by the end or by
// one of the words from next on, because nginx does not escape quotes that a client sent.
func contextValue(p []byte, next int) (value, rest []byte) {
	if len(p) == 0 || p[0] != '"' {
		if end := bytes.Index(p, []byte(", ")); end >= 0 {
			return p[:end], p[end:]
		}
		return p, nil
	}
	for i := 1; i < len(p); i++ {
		n := bytes.IndexByte(p[i:], '"')
		if n < 0 {
			break
		}
		i += n
		if i+1 == len(p) {
			return p[1:i], nil
		}
		for _, c := range nginxContext[next:] {
			if starts(p[i+1:], c.word) {
				return p[1:i], p[i+1:]
			}
		}
	}
	return p[1:], nil
}
