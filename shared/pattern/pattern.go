// SPDX-License-Identifier: Apache-2.0

// Package pattern compiles and runs the regular expressions that containers declare. Nothing that is declared can take
// much more than Limit of CPU time a match, nor memory without bound.
//
// An expression that Go's regexp understands runs there, in time linear in the line. What regexp can't compile
// (lookaround, backreferences, atomic groups, as Ruby's expressions use them) runs on a backtracking engine. Named groups
// are written (?P<name>…) or (?<name>…).
package pattern

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Limit is how much CPU time one match may take, approximately. A thread that has to wait for a CPU, under a quota say,
// spends none.
const Limit = 100 * time.Millisecond

// Slow is how much CPU time a match has to take for Pattern's methods to report it. A match that certainly took less is
// not measured, because reading the clock of a thread costs more than most matches do.
const Slow = Limit / 2

// MaxExpr is the longest expression in bytes. It also bounds how deep groups nest, and with that the stack of the
// engines' parsers.
const MaxExpr = 8 << 10

// ErrTimeout is the error of a match that was stopped at its time limit. Nothing is known about the line then.
var ErrTimeout = errors.New("the match took more than " + Limit.String() + " of CPU time")

// ErrTooLong is the error of a match of a line that is longer than the backtracking engine may be given.
var ErrTooLong = fmt.Errorf("the line is longer than the %d bytes that an expression with lookaround or backreferences may search", maxBacktrack)

// Pattern is a compiled expression. It is immutable and safe for concurrent use.
type Pattern struct {
	engine engine
	groups []string // names of the named groups, each once, in the order in which the engine numbers them
	named  []named
	cost   int // instructions of the program: an upper bound of the steps that one byte of a line takes
}

// named is a group of the engine that has a name: the engine's number of it, and which of Pattern.groups it is. Two groups
// of one name, as in (?<a>x)|(?<a>y), are one to the user.
type named struct{ number, group int }

// engine finds matches. The offsets it works with are byte offsets into line. took is the CPU time of the call, or zero
// where it is known to be below Slow.
type engine interface {
	match(line []byte) (ok bool, took time.Duration, err error)
	// find appends start and end of the whole match and of each group by number, -1 where a group took no part, to dst.
	// It returns nil if there is no match.
	find(dst []int, line []byte) (loc []int, took time.Duration, err error)
	// each calls yield with the same offsets for each match that does not overlap the one before, until yield returns
	// false. It calls begin first, and again if it has to start over.
	each(line []byte, begin func(), yield func(loc []int) bool) (took time.Duration, err error)
	// number is the number of the group named name, or -1.
	number(name string) int
}

// Compile makes a Pattern of expr. Patterns of equal expressions may be one: what many containers declare alike costs
// its memory once. The error is the reason alone; who shows it adds the expression.
func Compile(expr string) (*Pattern, error) {
	if len(expr) > MaxExpr {
		return nil, fmt.Errorf("the expression is %d bytes long, at most %d are allowed", len(expr), MaxExpr)
	}
	return compileEither(expr)
}

func compileEither(expr string) (*Pattern, error) {
	if p := shared.get(expr); p != nil {
		return p, nil
	}
	p, err := compileLinear(expr)
	if errors.Is(err, errSyntax) {
		p, err = compileBacktrack(expr)
	}
	if err != nil {
		return nil, err
	}
	shared.put(expr, p)
	return p, nil
}

// Groups returns the names of the named groups, in order. The caller must not change the slice.
func (p *Pattern) Groups() []string { return p.groups }

// Match reports whether line contains a match, and how much CPU time it took where that is Slow or more. The error is
// ErrTimeout, ErrTooLong, or one of the engine's.
func (p *Pattern) Match(line []byte) (ok bool, took time.Duration, err error) {
	return p.engine.match(line)
}

// Find returns start and end of each named group in the first match in line, in the order of Groups, -1 and -1 where a
// group took no part. The result is built in dst's memory where that is large enough; it is nil if nothing matches, and
// not nil, though maybe empty, otherwise. took and err are as for Match.
func (p *Pattern) Find(dst []int, line []byte) (_ []int, took time.Duration, err error) {
	loc, took, err := p.engine.find(dst[:0], line)
	if loc == nil || err != nil {
		return nil, took, err
	}
	// A group's number is above its place in the result, so that nothing is overwritten before it was read.
	n := 0
	for _, g := range p.named {
		if start := loc[2*g.number]; start >= 0 || g.group == n {
			loc[2*g.group], loc[2*g.group+1] = start, loc[2*g.number+1]
		}
		n = max(n, g.group+1)
	}
	return loc[:2*n], took, nil
}

// name makes the engine's group of this number known under name.
func (p *Pattern) name(number int, name string) {
	i := slices.Index(p.groups, name)
	if i < 0 {
		i = len(p.groups)
		p.groups = append(p.groups, name)
	}
	p.named = append(p.named, named{number, i})
}

// Replace appends line to dst with every match replaced by template, in which $1, ${1}, $name and ${name} stand for what
// a group matched, and $$ for a dollar sign. A name is the longest run of letters, digits and _; one that the expression
// does not have is replaced by nothing.
//
// It appends at most limit bytes. Where there would be more, it stops there and reports that the result is cut: what it
// appended has been searched, and holds no match. On an error dst is returned as it was. took and err are as for Match.
func (p *Pattern) Replace(dst, line []byte, template string, limit int) (_ []byte, cut bool, took time.Duration, err error) {
	n, last := len(dst), 0
	end := n + limit
	took, err = p.engine.each(line, func() { dst, last, cut = dst[:n], 0, false }, func(loc []int) bool {
		dst = append(dst, line[last:loc[0]]...)
		if len(dst) <= end {
			dst = expand(dst, line, template, loc, p.engine, end)
		}
		last = loc[1]
		cut = len(dst) > end
		return !cut
	})
	if err != nil {
		return dst[:n], false, took, err
	}
	if !cut {
		dst = append(dst, line[last:]...)
	}
	if cut = len(dst) > end; cut {
		dst = dst[:end]
	}
	return dst, cut, took, nil
}
