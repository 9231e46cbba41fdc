// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"

	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/timefmt"
)

// stripper removes the prefix that another program put before each line, so that a stack trace has its original form:
//
//	compose  web-1  | text
//	syslog   <34>Oct 11 22:14:15 mymachine su[12]: text
//	time     2026-10-10T13:55:36.123Z text, or 2026-10-10T13:55:36.123Z stdout F text as runtimes write it (CRI)
//
// A time in the prefix becomes the record's. A line without the prefix stays as it is.
type stripper struct {
	kind string
	time *timefmt.Parser
}

func newStripper(kind string) (*stripper, error) {
	if kind == "" {
		return nil, nil
	}
	time, err := timefmt.New("", "")
	return &stripper{kind, time}, err
}

// apply strips r's line. It returns the writer that the prefix names: the service, or host and program; empty if it names
// none. The writer is valid as long as the line is.
func (s *stripper) apply(r *record.Record) (writer []byte) {
	var time, rest []byte
	ok := false
	switch s.kind {
	case "compose":
		writer, rest, ok = composeText(r.Line)
	case "syslog":
		time, writer, rest, ok = syslogText(r.Line)
	case "time":
		time, rest, ok = timedText(r.Line)
	}
	if !ok {
		return nil
	}
	if ns, ok := s.time.Parse(time, r.Time); ok && len(time) > 0 {
		r.Time = ns
	}
	r.Line = rest
	return writer
}

// composeText returns the service and what follows "web-1  | ", which may be in colour.
func composeText(p []byte) (service, rest []byte, ok bool) {
	bar := bytes.IndexByte(p[:min(len(p), 256)], '|')
	if bar < 2 || p[bar-1] != ' ' {
		return nil, nil, false
	}
	name := bytes.TrimRight(p[:bar], " ")
	if name[0] == 0x1b {
		if n := bytes.IndexByte(name, 'm'); n > 0 {
			name = name[n+1:]
		}
	}
	for _, c := range name {
		if !isAlnum(c) && c != '-' && c != '_' && c != '.' {
			return nil, nil, false
		}
	}
	rest = p[bar+1:]
	if starts(rest, " ") {
		rest = rest[1:]
	}
	return name, bytes.TrimPrefix(rest, []byte("\x1b[0m")), len(name) > 0
}

// syslogText returns what follows the header of RFC 3164, its time, and the writer that it names: host and program.
func syslogText(p []byte) (time, writer, rest []byte, ok bool) {
	if len(p) > 2 && p[0] == '<' {
		if end := digits(p, 1); end > 1 && end < len(p) && p[end] == '>' {
			p = p[end+1:]
		}
	}
	const width = len("Oct 11 22:14:15")
	if len(p) <= width || !shape("A _0 00:00:00 ").fits(p) {
		return nil, nil, nil, false
	}
	time, p = p[:width], p[width+1:]
	colon := bytes.Index(p[:min(len(p), 512)], []byte(": "))
	if colon < 0 {
		if colon = len(p) - 1; colon < 0 || p[colon] != ':' {
			return nil, nil, nil, false
		}
		p = append(p[:len(p):len(p)], ' ') // an empty text, whose blank was trimmed
	}
	return time, p[:colon], p[colon+2:], true
}

// timedText returns an ISO 8601 time at the beginning of p, and what follows it.
func timedText(p []byte) (time, rest []byte, ok bool) {
	if !digitShapes[0].fits(p) && !digitShapes[1].fits(p) {
		return nil, nil, false
	}
	end := len("2026-10-10T13:55")
	for end < len(p) && (isDigit(p[end]) || p[end] == ':' || p[end] == '.' || p[end] == ',' || p[end] == '+' || p[end] == '-' || p[end] == 'Z') {
		end++
	}
	time, rest = p[:end], p[end:]
	if starts(rest, " ") {
		rest = rest[1:]
	}
	return time, criText(rest), true
}

// criText returns what follows the standard stream and the tags of a line that a container runtime wrote: stdout F. It returns
// p if they are not there.
func criText(p []byte) []byte {
	stream := len("stdout ")
	if !starts(p, "stdout ") && !starts(p, "stderr ") || len(p) < stream+1 || p[stream] != 'F' && p[stream] != 'P' {
		return p
	}
	tag := bytes.IndexByte(p[stream:min(len(p), stream+64)], ' ') // colons separate tags
	switch {
	case tag == 1 || tag > 1 && p[stream+1] == ':':
		return p[stream+tag+1:]
	case len(p) == stream+1: // an empty line, whose blank was trimmed
		return nil
	}
	return p
}
