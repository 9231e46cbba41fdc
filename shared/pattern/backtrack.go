// SPDX-License-Identifier: Apache-2.0

package pattern

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// maxBacktrack is the longest line in bytes that the backtracking engine is given: its stack grows with the line, by some
// tens of bytes a character, and stays with the pattern.
const maxBacktrack = 128 << 10

// backtrack runs an expression on regexp2, which knows lookaround and backreferences and has a time limit.
type backtrack struct {
	re      *regexp2.Regexp
	names   []string // of all groups, by index; those without a name have their number
	numbers []int    // regexp2's numbers of the same groups, which need not be consecutive
}

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
	re.MatchTimeout = Limit
	b := &backtrack{re: re, names: re.GetGroupNames(), numbers: re.GetGroupNumbers()}
	p = &Pattern{engine: b, cost: len(expr)}
	for i, name := range b.names {
		if strings.Trim(name, "0123456789") != "" {
			p.name(i, name)
		}
	}
	return p, nil
}

func (b *backtrack) match(line []byte) (ok bool, err error) {
	if len(line) > maxBacktrack {
		return false, ErrTooLong
	}
	defer contain(&err)
	t := newText(line)
	defer texts.Put(t)
	ok, err = b.re.MatchRunes(t.runes)
	return ok, timedOut(err)
}

func (b *backtrack) find(dst []int, line []byte) (loc []int, err error) {
	if len(line) > maxBacktrack {
		return nil, ErrTooLong
	}
	defer contain(&err)
	t := newText(line)
	defer texts.Put(t)
	m, err := b.re.FindRunesMatch(t.runes)
	if m == nil || err != nil {
		return nil, timedOut(err)
	}
	return b.offsets(dst, t, m), nil
}

func (b *backtrack) each(line []byte, yield func(loc []int)) (err error) {
	if len(line) > maxBacktrack {
		return ErrTooLong
	}
	defer contain(&err)
	t := newText(line)
	defer texts.Put(t)
	deadline := time.Now().Add(Limit)
	m, err := b.re.FindRunesMatch(t.runes)
	end := -1
	for m != nil && err == nil {
		if m.Length > 0 || m.Index != end {
			yield(b.offsets(nil, t, m))
		}
		end = m.Index + m.Length
		if !time.Now().Before(deadline) {
			return ErrTimeout
		}
		m, err = b.re.FindNextMatch(m)
	}
	return timedOut(err)
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
