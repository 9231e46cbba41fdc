// SPDX-License-Identifier: Apache-2.0

package format

import (
	"fmt"

	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/timefmt"
)

// klog parses lines of Kubernetes' and glog's loggers:
//
//	I1121 07:41:07.123456       1 server.go:123] text
//	E1121 07:41:07.123456       1 server.go:123] "text" pod="kube-system/x" err="y"
//
//	field          what                                 JSON
//	level          info, warning, error, fatal          string
//	pid            of the thread, if known              number
//	file, line                                          string, number
//	message        the text; in the second form that in quotes, and words that are not pairs
//	…              the pairs of the second form         string
//
// The time becomes the record's. Its year follows from when it is read.
type klog struct {
	time                            *timefmt.Parser
	level, pid, file, line, message member
	pairs                           *kvParser
	names                           *names
}

var (
	klogLevels = map[byte]string{'I': "info", 'W': "warning", 'E': "error", 'F': "fatal"}
	klogFields = [][]byte{[]byte("level"), []byte("pid"), []byte("file"), []byte("line"), []byte("message")}
)

func newKlog(options map[string]string, n *names) (*klog, error) {
	time, err := timefmt.New("%m%d %H:%M:%S.%f", options["time_zone"])
	if err != nil {
		return nil, fmt.Errorf("format.time_zone: %w", err)
	}
	pairs, err := newKV(nil, n)
	return &klog{time: time, level: n.member("level"), pid: n.member("pid"), file: n.member("file"), line: n.member("line"),
		message: n.member("message"), pairs: pairs, names: n}, err
}

// parse implements parser.
func (f *klog) parse(b *record.Batch, r *record.Record) problem {
	const header = len("I1121 07:41:07.123456")
	p := r.Line
	if len(p) < header+2 || p[header] != ' ' {
		return unparsed("no header of klog was found", 0)
	}
	level, ok := klogLevels[p[0]]
	ns, timed := f.time.Parse(p[1:header], r.Time)
	if !ok || !timed {
		return unparsed("no header of klog was found", 0)
	}
	i := header
	for i < len(p) && p[i] == ' ' {
		i++
	}
	pid := digits(p, i)
	file := pid + 1
	colon := file
	for colon < len(p) && p[colon] != ':' && p[colon] != ']' && p[colon] != ' ' {
		colon++
	}
	end := colon + 1
	if end < len(p) {
		end = digits(p, end)
	}
	if pid == i || colon >= len(p) || p[colon] != ':' || end == colon+1 || end >= len(p) || p[end] != ']' || end+1 < len(p) && p[end+1] != ' ' {
		return unparsed("no file and line were found", i)
	}
	at, a := len(b.Arena), b.Arena
	a = f.level.appendWord(a, level)
	a = f.pid.appendNumber(a, p[i:pid])
	a = f.file.appendText(a, p[file:colon])
	a = f.line.appendNumber(a, p[colon+1:end])
	return f.text(b, r, a, at, min(end+2, len(p)), ns) // an empty message may have lost the blank before it
}

// text appends the message, and the pairs after it.
func (f *klog) text(b *record.Batch, r *record.Record, a []byte, at, i int, ns int64) problem {
	k, text := f.pairs, r.Line[i:]
	k.words, k.keys, k.ns, k.badTime = k.words[:0], k.keys[:0], ns, false
	message, next, ok := []byte(nil), 0, false
	if len(text) > 0 && text[0] == '"' {
		if message, next, ok = k.quoted(text, 1); ok {
			k.words = append(k.words, message...)
			k.keys = append(k.keys, klogFields...) // so a pair of such a name is a duplicate
			a = k.pairs(a, text[next:], r.Time)
			text = k.words
		}
	}
	a = f.message.appendText(a, text)
	finish(b, r, a, at)
	r.Time = k.ns
	k.words, k.scratch = trimmed(k.words), trimmed(k.scratch)
	return problem{}
}
