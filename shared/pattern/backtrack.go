// SPDX-License-Identifier: Apache-2.0

package pattern

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"

	"github.com/remora-logs/remora/shared/cputime"
)

// maxBacktrack is the longest line in bytes that the backtracking engine is given: its stack grows with the line, by some
// tens of bytes a character, and stays with the pattern.
const maxBacktrack = 128 << 10

// backtrack runs an expression on regexp2, which knows lookaround and backreferences and has a time limit. That is one of
// wall time, so that a match that reaches it is only then judged by the CPU time that it took.
type backtrack struct {
	// attempts are the same expression with growing limits.
	attempts [len(patience)]*regexp2.Regexp
	// watched is how many matches from now on are measured, because one was slow or reached its limit.
	watched atomic.Int32
	names   []string // of all groups, by index; those without a name have their number
	numbers []int    // regexp2's numbers of the same groups, which need not be consecutive
}

// patience is how much wall time the attempts at one match get: all of them together at least Limit of CPU time, where
// the thread gets more than a hundredth of a CPU.
var patience = [...]time.Duration{Limit, 4 * Limit, 16 * Limit, 64 * Limit}

// watchFor is how many matches are measured after one that was slow.
const watchFor = 1000

func init() {
	// regexp2 measures time with a clock that a goroutine of its own advances at this interval while matches run, and
	// stops a second later. At its default, 100 ms, a match would run up to three times as long as it may.
	regexp2.SetTimeoutCheckPeriod(Limit / 5)
}

func compileBacktrack(expr string) (p *Pattern, err error) {
	defer contain(&err)
	// In its RE2 mode \d, \w, \s and $ mean what they mean to Go's regexp, and (?P<name>…) is understood.
	re, err := regexp2.Compile(expr, regexp2.RE2)
	if err != nil {
		// The reason alone: the expression may be of any length, and hold anything.
		reason := strings.TrimPrefix(strings.TrimSuffix(err.Error(), " in `"+expr+"`"), "error parsing regexp: ")
		return nil, errors.New(strings.Trim(strconv.Quote(reason), `"`))
	}
	b := &backtrack{names: re.GetGroupNames(), numbers: re.GetGroupNumbers()}
	for i, limit := range patience {
		if b.attempts[i] = re; i > 0 {
			// What an expression was compiled to is immutable, so that copies may share it. Each keeps machines of its own.
			again := *re
			b.attempts[i] = &again
		}
		b.attempts[i].MatchTimeout = limit
	}
	p = &Pattern{engine: b, cost: len(expr)}
	for i, name := range b.names {
		if strings.Trim(name, "0123456789") != "" {
			p.name(i, name)
		}
	}
	return p, nil
}

// run calls attempt, first without a clock. If that turns out slow or reaches its limit of wall time, matches are measured
// for a while, this one again. A match that was stopped after much CPU time is over; one that was stopped because others
// had the CPU gets more time.
func (b *backtrack) run(attempt func(re *regexp2.Regexp) error) (took time.Duration, err error) {
	if b.watched.Load() <= 0 {
		begin := time.Now()
		err = attempt(b.attempts[0])
		if time.Since(begin) < Slow {
			return 0, err
		}
		b.watched.Store(watchFor)
		if !errors.Is(err, ErrTimeout) {
			return 0, err
		}
	}
	b.watched.Add(-1)
	w := cputime.Start()
	for _, re := range b.attempts {
		before := w.Spent()
		if err = attempt(re); !errors.Is(err, ErrTimeout) || w.Spent()-before >= Slow {
			break
		}
	}
	return w.Stop(), err
}

func (b *backtrack) match(line []byte) (ok bool, took time.Duration, err error) {
	if len(line) > maxBacktrack {
		return false, 0, ErrTooLong
	}
	t := newText(line)
	defer texts.Put(t)
	took, err = b.run(func(re *regexp2.Regexp) (err error) {
		defer contain(&err)
		ok, err = re.MatchRunes(t.runes)
		return timedOut(err)
	})
	return ok, took, err
}

func (b *backtrack) find(dst []int, line []byte) (loc []int, took time.Duration, err error) {
	if len(line) > maxBacktrack {
		return nil, 0, ErrTooLong
	}
	t := newText(line)
	defer texts.Put(t)
	took, err = b.run(func(re *regexp2.Regexp) (err error) {
		defer contain(&err)
		m, err := re.FindRunesMatch(t.runes)
		if loc = nil; m != nil && err == nil {
			loc = b.offsets(dst, t, m)
		}
		return timedOut(err)
	})
	return loc, took, err
}

func (b *backtrack) each(line []byte, begin func(), yield func(loc []int) bool) (took time.Duration, err error) {
	if len(line) > maxBacktrack {
		return 0, ErrTooLong
	}
	t := newText(line)
	defer texts.Put(t)
	return b.run(func(re *regexp2.Regexp) (err error) {
		defer contain(&err)
		begin()
		deadline := time.Now().Add(re.MatchTimeout)
		m, err := re.FindRunesMatch(t.runes)
		end := -1
		for m != nil && err == nil {
			if (m.Length > 0 || m.Index != end) && !yield(b.offsets(nil, t, m)) {
				return nil
			}
			end = m.Index + m.Length
			if !time.Now().Before(deadline) {
				return ErrTimeout
			}
			m, err = re.FindNextMatch(m)
		}
		return timedOut(err)
	})
}

func (b *backtrack) number(name string) int { return slices.Index(b.names, name) }

// offsets appends the byte offsets of all groups of m.
func (b *backtrack) offsets(dst []int, t *text, m *regexp2.Match) []int {
	for _, n := range b.numbers {
		g := m.GroupByNumber(n)
		if len(g.Captures) == 0 {
			dst = append(dst, -1, -1)
			continue
		}
		dst = append(dst, int(t.offsets[g.Index]), int(t.offsets[g.Index+g.Length]))
	}
	return dst
}

// text is a line as regexp2 wants it: characters, and the byte offset at which each begins, with the line's length behind
// the last. A byte that is not valid UTF-8 is a character of its own.
type text struct {
	runes   []rune
	offsets []int32
}

var texts = sync.Pool{New: func() any { return new(text) }}

func newText(line []byte) *text {
	t := texts.Get().(*text)
	t.runes, t.offsets = t.runes[:0], t.offsets[:0]
	for i := 0; i < len(line); {
		c, width := utf8.DecodeRune(line[i:])
		t.runes, t.offsets = append(t.runes, c), append(t.offsets, int32(i))
		i += width
	}
	t.offsets = append(t.offsets, int32(len(line)))
	return t
}

// timedOut makes ErrTimeout of regexp2's own, which is a match's only error: it has no type, and carries the line.
func timedOut(err error) error {
	if err != nil {
		return ErrTimeout
	}
	return nil
}

// contain turns a panic of the backtracking engine into an error: expressions and lines are somebody else's, and the
// engine indexes into both by hand.
func contain(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("the backtracking engine failed: %v", r)
	}
}
