// SPDX-License-Identifier: Apache-2.0

package format

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/pattern"
)

// guarded is a pattern that is switched off if it keeps taking too much CPU time: one line may take pattern.Limit, but not
// every line. It is used by one goroutine at a time.
type guarded struct {
	*pattern.Pattern
	key     string
	log     *slog.Logger
	strikes int // in units of 1/matchesPerStrike
	off     bool
	loc     []int
}

// A strike is a match that takes pattern.Slow. More than maxStrikes switch a pattern off; matchesPerStrike other matches make
// up for one.
const maxStrikes, matchesPerStrike = 8, 1000

// errOff is the error of a pattern that is switched off.
var errOff = errors.New("the pattern is switched off, because it took too much CPU time too often")

func newGuarded(key, expr string, log *slog.Logger) (*guarded, error) {
	p, err := pattern.Compile(expr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return &guarded{Pattern: p, key: key, log: log}, nil
}

// match is pattern.Pattern.Match.
func (g *guarded) match(line []byte) (bool, error) {
	if g.off {
		return false, errOff
	}
	ok, took, err := g.Match(line)
	g.judge(took)
	return ok, err
}

// find is pattern.Pattern.Find. The result is valid until the next call.
func (g *guarded) find(line []byte) ([]int, error) {
	if g.off {
		return nil, errOff
	}
	loc, took, err := g.Find(g.loc, line)
	if loc != nil {
		g.loc = loc
	}
	g.judge(took)
	return loc, err
}

// replace is pattern.Pattern.Replace.
func (g *guarded) replace(dst, line []byte, template string, limit int) (_ []byte, cut bool, err error) {
	if g.off {
		return dst, false, errOff
	}
	dst, cut, took, err := g.Replace(dst, line, template, limit)
	g.judge(took)
	return dst, cut, err
}

// judge counts strikes by CPU time, so a pattern is not slow because others have the CPU.
func (g *guarded) judge(took time.Duration) {
	if took < pattern.Slow {
		g.strikes = max(0, g.strikes-1)
		return
	}
	if g.strikes += matchesPerStrike; g.strikes > maxStrikes*matchesPerStrike {
		g.off = true
		notice.ExpressionOff.Log(g.log, "key", g.key, "cpu", took)
	}
}
