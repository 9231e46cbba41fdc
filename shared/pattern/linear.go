// SPDX-License-Identifier: Apache-2.0

package pattern

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"regexp/syntax"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/remora-logs/remora/shared/cputime"
)

const (
	// maxCost bounds the instructions of a program, of which a counted repetition like x{1000} makes a thousand. At
	// about 40 bytes each this also bounds what a compiled pattern weighs.
	maxCost = 10_000
	// uncheckedSteps is how many steps (instructions times bytes) are taken without looking at a clock: 4 Mi of them take
	// some 40 ms at their worst.
	uncheckedSteps = 4 << 20
)

// errSyntax marks an expression that regexp does not understand, though another engine may.
var errSyntax = errors.New("not an expression for regexp")

// linear runs an expression on Go's regexp. Its time is linear in the line, but a large program on a long line takes
// seconds all the same, so that long lines are read by way of a reader that ends at the time limit.
type linear struct {
	re   *regexp.Regexp
	cost int
	// next is the expression for what follows a match: it takes one character of context first, so that ^ and \b mean
	// what they mean within the line, and holds a match in its group 1. Few need it, so that it is made when one does.
	next func() (*regexp.Regexp, error)
}

func compileLinear(expr string) (*Pattern, error) {
	tree, err := syntax.Parse(expr, syntax.Perl)
	var bad *syntax.Error
	if errors.As(err, &bad) && bad.Code != syntax.ErrLarge && bad.Code != syntax.ErrNestingDepth {
		return nil, errSyntax
	}
	if bad != nil {
		return nil, errors.New(bad.Code.String())
	}
	cost := size(tree)
	if cost > maxCost {
		return nil, fmt.Errorf("the expression is too large: with its repetitions written out it has %d instructions, at most %d are allowed", cost, maxCost)
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, err
	}
	l := &linear{re: re, cost: cost, next: sync.OnceValues(func() (*regexp.Regexp, error) {
		// The parsed form can be put into a group; expr can't where it ends within \Q.
		return regexp.Compile(`\A(?s:.)(?s:.*?)(` + tree.String() + `)`)
	})}
	p := &Pattern{engine: l, cost: cost}
	for i, name := range re.SubexpNames() {
		if name != "" {
			p.name(i, name)
		}
	}
	return p, nil
}

// size is about how many instructions tree compiles to, which syntax.Parse has bounded to a few millions.
func size(tree *syntax.Regexp) int {
	n := max(1, len(tree.Rune))
	for _, sub := range tree.Sub {
		n += size(sub)
	}
	if tree.Op == syntax.OpRepeat {
		n *= max(1, tree.Min, tree.Max)
	}
	return n
}

func (l *linear) match(line []byte) (ok bool, took time.Duration, err error) {
	if quick(l.cost, line) {
		return l.re.Match(line), 0, nil
	}
	t := newTimer()
	r := timedReader{line: line, timer: &t}
	ok = l.re.MatchReader(&r)
	return ok && !r.late, t.watch.Stop(), r.err()
}

func (l *linear) find(dst []int, line []byte) (loc []int, took time.Duration, err error) {
	if quick(l.cost, line) {
		loc = l.re.FindSubmatchIndex(line)
	} else {
		t := newTimer()
		loc, err = search(l.re, line, &t)
		if took = t.watch.Stop(); err != nil {
			return nil, took, err
		}
	}
	if loc == nil || cap(dst) == 0 {
		return loc, took, nil
	}
	return append(dst, loc...), took, nil
}

// each counts the steps of all searches together: only beyond uncheckedSteps it starts a clock.
func (l *linear) each(line []byte, begin func(), yield func(loc []int) bool) (took time.Duration, err error) {
	var (
		t     timer
		timed bool
		steps int
	)
	defer func() {
		if timed {
			took = t.watch.Stop()
		}
	}()
	first := func(re *regexp.Regexp, text []byte) ([]int, error) {
		if steps += l.cost * len(text); steps <= uncheckedSteps {
			return re.FindSubmatchIndex(text), nil
		}
		if !timed {
			t, timed = newTimer(), true
		}
		if quick(l.cost, text) && !t.over() {
			return re.FindSubmatchIndex(text), nil
		}
		return search(re, text, &t)
	}
	begin()
	loc, err := first(l.re, line)
	if loc == nil || err != nil {
		return 0, err
	}
	next, err := l.next()
	if err != nil {
		return 0, err
	}
	for pos, end := 0, -1; loc != nil && err == nil; {
		// An empty match right behind another is none, as everywhere in regexp.
		if (loc[0] < loc[1] || loc[0] != end) && !yield(loc) {
			return 0, nil
		}
		if end = loc[1]; end > pos {
			pos = end
		} else {
			_, width := utf8.DecodeRune(line[pos:])
			pos += max(1, width)
		}
		if pos > len(line) {
			return 0, nil
		}
		_, context := utf8.DecodeLastRune(line[:pos])
		if loc, err = first(next, line[pos-context:]); loc != nil {
			loc = loc[2:] // group 1 of next is the whole match
			for i := range loc {
				if loc[i] >= 0 {
					loc[i] += pos - context
				}
			}
		}
	}
	return 0, err
}

func (l *linear) number(name string) int {
	if n, err := strconv.Atoi(name); err == nil && n <= l.re.NumSubexp() {
		return n
	}
	return l.re.SubexpIndex(name)
}

// quick reports whether a match may be left to end by itself.
func quick(cost int, line []byte) bool { return len(line) <= uncheckedSteps/cost }

// search looks for the first match in line until t is over; nil if there is none.
func search(re *regexp.Regexp, line []byte, t *timer) ([]int, error) {
	r := timedReader{line: line, timer: t}
	loc := re.FindReaderSubmatchIndex(&r)
	if err := r.err(); err != nil {
		return nil, err
	}
	return loc, nil
}

// timer tells when Limit of CPU time is spent. It checks the wall clock first, which is cheap and never behind
// the thread's.
type timer struct {
	watch cputime.Watch
	check time.Time // when, at the earliest, the limit can be reached
}

func newTimer() timer { return timer{cputime.Start(), time.Now().Add(Limit)} }

func (t *timer) over() bool {
	now := time.Now()
	if now.Before(t.check) {
		return false
	}
	left := Limit - t.watch.Spent()
	t.check = now.Add(left)
	return left <= 0
}

// timedReader reads a line's characters until its timer is over: then it reports the end, and err reports ErrTimeout.
type timedReader struct {
	line  []byte
	at    int
	reads uint
	timer *timer
	late  bool
}

// ReadRune implements io.RuneReader. It looks at the clock every 64 characters, which are at most about 6 ms apart.
func (r *timedReader) ReadRune() (rune, int, error) {
	if r.reads%64 == 0 && r.timer.over() {
		r.late = true
	}
	if r.reads++; r.late || r.at == len(r.line) {
		return 0, 0, io.EOF
	}
	c, width := utf8.DecodeRune(r.line[r.at:])
	r.at += width
	return c, width, nil
}

func (r *timedReader) err() error {
	if r.late {
		return ErrTimeout
	}
	return nil
}
