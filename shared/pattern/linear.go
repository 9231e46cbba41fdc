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
)

const (
	// maxCost bounds the instructions of a program, of which a counted repetition like x{1000} makes a thousand. At
	// about 40 bytes each this also bounds what a compiled pattern weighs.
	maxCost = 10_000
	// unhurried is how many steps (instructions times bytes) are taken without looking at the clock: 4 Mi of them take
	// some 40 ms at their worst.
	unhurried = 4 << 20
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

func (l *linear) match(line []byte) (bool, error) {
	if quick(l.cost, line) {
		return l.re.Match(line), nil
	}
	r := hurried{line: line, deadline: time.Now().Add(Limit)}
	ok := l.re.MatchReader(&r)
	return ok, r.err()
}

func (l *linear) find(dst []int, line []byte) ([]int, error) {
	var loc []int
	if quick(l.cost, line) {
		loc = l.re.FindSubmatchIndex(line)
	} else {
		var err error
		if loc, err = search(l.re, l.cost, line, time.Now().Add(Limit)); err != nil {
			return nil, err
		}
	}
	if loc == nil || cap(dst) == 0 {
		return loc, nil
	}
	return append(dst, loc...), nil
}

func (l *linear) each(line []byte, yield func(loc []int)) error {
	deadline := time.Now().Add(Limit)
	loc, err := search(l.re, l.cost, line, deadline)
	if loc == nil || err != nil {
		return err
	}
	next, err := l.next()
	if err != nil {
		return err
	}
	for pos, end := 0, -1; loc != nil && err == nil; {
		// An empty match right behind another is none, as everywhere in regexp.
		if loc[0] < loc[1] || loc[0] != end {
			yield(loc)
		}
		if end = loc[1]; end > pos {
			pos = end
		} else {
			_, width := utf8.DecodeRune(line[pos:])
			pos += max(1, width)
		}
		if pos > len(line) {
			return nil
		}
		_, context := utf8.DecodeLastRune(line[:pos])
		if loc, err = search(next, l.cost, line[pos-context:], deadline); loc != nil {
			loc = loc[2:] // group 1 of next is the whole match
			for i := range loc {
				if loc[i] >= 0 {
					loc[i] += pos - context
				}
			}
		}
	}
	return err
}

func (l *linear) number(name string) int {
	if n, err := strconv.Atoi(name); err == nil && n <= l.re.NumSubexp() {
		return n
	}
	return l.re.SubexpIndex(name)
}

// quick reports whether a match may be left to end by itself.
func quick(cost int, line []byte) bool { return len(line) <= unhurried/cost }

// search looks for the first match in line; nil if there is none.
func search(re *regexp.Regexp, cost int, line []byte, deadline time.Time) ([]int, error) {
	if quick(cost, line) && time.Now().Before(deadline) {
		return re.FindSubmatchIndex(line), nil
	}
	r := hurried{line: line, deadline: deadline}
	loc := re.FindReaderSubmatchIndex(&r)
	return loc, r.err()
}

// hurried reads a line's characters until the deadline: then it reports the end, and err reports ErrTimeout.
type hurried struct {
	line     []byte
	at       int
	reads    uint
	deadline time.Time
	late     bool
}

// ReadRune implements io.RuneReader. It looks at the clock every 64 characters, which are at most about 6 ms apart.
func (r *hurried) ReadRune() (rune, int, error) {
	if r.reads%64 == 0 && !time.Now().Before(r.deadline) {
		r.late = true
	}
	if r.reads++; r.late || r.at == len(r.line) {
		return 0, 0, io.EOF
	}
	c, width := utf8.DecodeRune(r.line[r.at:])
	r.at += width
	return c, width, nil
}

func (r *hurried) err() error {
	if r.late {
		return ErrTimeout
	}
	return nil
}
