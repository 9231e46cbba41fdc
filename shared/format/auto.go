// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"fmt"
)

// auto groups lines without configuration. A record that begins with a time ends before the next line that does. Any other
// record ends where the stack trace of a language ends.
//
// Whether lines begin with times is learned from the first 64 KiB: if more than half of them begin with neither a time nor
// white space, nor continue a stack trace, times are ignored from the next record on. Each stream has its own auto.
type auto struct {
	off  bool  // times are ignored
	sure tally // of complete records
	open tally // of the current record, which is read again after a restart
	text string
}

// tally counts lines by their form.
type tally struct {
	bytes, lines int
	other        int // lines that begin with none of these
}

// learnFrom is how many bytes decide whether times are used.
const learnFrom = 64 << 10

// autoTimed is the state of a record that began with a time, and autoTrace that of one that may become any trace. The states
// of language i are autoFirst + i*statesOfEach and up.
const (
	autoTimed state = iota + 1
	autoTrace
	autoFirst
	statesOfEach = 16
)

// autoRules are the rules of the languages. The first three recognise the beginning of a trace.
var autoRules = [...]rule{python{}, golang{}, rust{}, js{}, dotnet{}, dart{}, ruby{}, java{}, php{}}

// begin implements rule.
func (a *auto) begin(line []byte) state {
	a.complete()
	timed := startsWithTime(line)
	a.learn(line, timed || indented(line))
	if timed && !a.off {
		return autoTimed
	}
	for i, r := range autoRules {
		if s := r.begin(line); s > open || s == open && i < 3 { // the rule recognises the line
			return autoState(i, s)
		}
	}
	return autoTrace
}

// autoError is the state after Error: text, which begins traces of both Rust and JavaScript.
var autoError = autoState(2, rustError)

func autoState(i int, s state) state { return autoFirst + state(i)*statesOfEach + s }

// next implements rule.
func (a *auto) next(s state, line []byte) (state, bool) {
	if s == autoTimed {
		if startsWithTime(line) {
			return complete, false
		}
		a.learn(line, indented(line) || known(line))
		return s, true
	}
	if startsWithTime(line) {
		return complete, false
	}
	next, ok := a.trace(s, line)
	if ok {
		a.learn(line, true)
	}
	return next, ok
}

// followers holds the first bytes of lines that continue a stack trace.
var followers = func() (set [256]bool) {
	for _, c := range []byte(" \t#[<}CSWnAEOD-NP\"'=") {
		set[c] = true
	}
	return set
}()

// mayFollow reports whether line may continue a stack trace.
func mayFollow(line []byte) bool {
	return len(line) == 0 || followers[line[0]] || line[len(line)-1] == '\''
}

// trace continues a stack trace: that of the language so far, or of any.
func (a *auto) trace(s state, line []byte) (state, bool) {
	if s >= autoFirst {
		i := int((s - autoFirst) / statesOfEach)
		if next, ok := autoRules[i].next((s-autoFirst)%statesOfEach, line); ok {
			if next == complete {
				return complete, true
			}
			return autoState(i, next), true
		}
		if i < 3 && s != autoError {
			return complete, false
		}
	}
	if !mayFollow(line) {
		return complete, false
	}
	for i, r := range autoRules[3:] {
		if next, ok := r.next(open, line); ok && next != complete {
			return autoState(i+3, next), true
		}
	}
	return complete, false
}

// known reports whether line continues a stack trace of some language.
func known(line []byte) bool {
	if !mayFollow(line) {
		return false
	}
	for _, r := range autoRules[3:] {
		if _, ok := r.next(open, line); ok {
			return true
		}
	}
	return false
}

// learn counts a line of the current record.
func (a *auto) learn(line []byte, expected bool) {
	a.open.bytes += len(line) + 1
	if a.open.lines++; !expected {
		a.open.other++
	}
}

// complete adds the current record to the tally, and decides once there is enough.
func (a *auto) complete() {
	if a.sure.bytes < learnFrom {
		a.sure.bytes += a.open.bytes
		a.sure.lines += a.open.lines
		a.sure.other += a.open.other
		a.off = a.sure.bytes >= learnFrom && 2*a.sure.other > a.sure.lines
		a.text = ""
	}
	a.open = tally{}
}

// learned returns what was learned in words that status shows: "times" or "traces", and the tally.
func (a *auto) learned() string {
	if a.text == "" && a.sure.lines > 0 {
		word := "times"
		if a.off {
			word = "traces"
		}
		a.text = fmt.Sprintf("%s bytes=%d lines=%d other=%d", word, a.sure.bytes, a.sure.lines, a.sure.other)
	}
	return a.text
}

func (a *auto) restore(text string) {
	var (
		word string
		t    tally
	)
	if n, err := fmt.Sscanf(text, "%s bytes=%d lines=%d other=%d", &word, &t.bytes, &t.lines, &t.other); n == 4 && err == nil {
		a.sure, a.off = t, word == "traces"
	}
}

// startsWithTime reports whether line begins with a time: in brackets or not, after a level or not, as the first of logfmt's
// pairs or the second after a level, or after the process and its role in Redis's form.
func startsWithTime(line []byte) bool {
	if len(line) < 8 {
		return false
	}
	switch {
	case isDigit(line[0]):
		return isTime(line) || isTime(behindRole(line))
	case line[0] == 't' || line[0] == 'l':
		if isTime(pairedTime(line)) {
			return true
		}
	}
	p := line[:min(len(line), 96)]
	for range 3 { // a level, in brackets or not, and what surrounds it
		for len(p) > 0 && opens[p[0]] {
			p = p[1:]
		}
		if isTime(p) {
			return true
		}
		n := levelLength(p)
		if n == 0 {
			return false
		}
		p = p[n:]
	}
	return false
}

// behindRole returns what follows 1:M and a blank, for Redis's master, replica, child or sentinel; nil if they are not there.
func behindRole(line []byte) []byte {
	n := digits(line[:min(len(line), 8)], 0)
	if len(line) < n+4 || line[n] != ':' || line[n+2] != ' ' || bytes.IndexByte([]byte("MSCX"), line[n+1]) < 0 {
		return nil
	}
	return line[n+3:]
}

// pairedTime returns what follows time=, ts= or timestamp=, in quotes or not, with or without a level=word before it; nil if
// there is none.
func pairedTime(line []byte) []byte {
	if rest, ok := bytes.CutPrefix(line, []byte("level=")); ok {
		n := bytes.IndexByte(rest[:min(len(rest), 16)], ' ')
		line = rest[n+1:]
	}
	for _, name := range [...]string{"time=", "ts=", "timestamp="} {
		if starts(line, name) {
			return bytes.TrimPrefix(line[len(name):], []byte(`"`))
		}
	}
	return nil
}

// opens holds the bytes that may precede a time or a level, or separate them.
var opens = [256]bool{'[': true, '(': true, '<': true, ']': true, ')': true, '>': true, ' ': true, '\t': true, ':': true, '|': true, '-': true, ',': true, '"': true, '\'': true}

// levelLength returns the length of the level at the beginning of p: a word, a letter, or the number of syslog; 0 if there is
// none.
func levelLength(p []byte) int {
	n := 0
	for n < len(p) && n < 12 && (p[n]|0x20 >= 'a' && p[n]|0x20 <= 'z') {
		n++
	}
	if n == 0 {
		if n = digits(p[:min(len(p), 4)], 0); n > 0 && n < len(p) && p[n] == '>' {
			return n
		}
		return 0
	}
	if n == 1 {
		switch p[0] {
		case 'T', 'D', 'I', 'W', 'E', 'F', 'V', 'A':
			return 1
		}
		return 0
	}
	if levelWords[levelKey(p[:n])] {
		return n
	}
	return 0
}

// levelWords holds words for levels, by their first three letters in lower case: WARN, warning and Warn are one.
var levelWords = func() map[[3]byte]bool {
	m := make(map[[3]byte]bool)
	for _, word := range []string{"trace", "debug", "info", "notice", "warning", "error", "fatal", "critical", "panic", "severe", "fine", "config", "verbose", "alert", "emerg", "log"} {
		m[levelKey([]byte(word))] = true
	}
	return m
}()

func levelKey(p []byte) (key [3]byte) {
	for i := range key {
		if i < len(p) {
			key[i] = p[i] | 0x20
		}
	}
	return key
}
