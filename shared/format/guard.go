// SPDX-License-Identifier: Apache-2.0

package format

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/remora-logs/remora/shared/pattern"
)

// guarded is a pattern that is switched off if it keeps taking too long: one line may take it pattern.Limit, but not
// every line. It is used by one goroutine at a time.
type guarded struct {
	*pattern.Pattern
	key     string
	log     *slog.Logger
	strikes int
	off     bool
	loc     []int
}

const (
	// slow is what counts as a strike, beside a timeout.
	slow = pattern.Limit / 2
	// maxStrikes is how many of them switch a pattern off. forgiven is how many matches in time make up for one.
	maxStrikes, forgiven = 8, 1000
)

// errOff is the error of a pattern that is switched off.
var errOff = errors.New("the pattern is switched off, because it took too long too often")

func newGuarded(key, expr string, log *slog.Logger) (*guarded, error) {
	p, err := pattern.Compile(expr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return &guarded{Pattern: p, key: key, log: log}, nil
}

// match is pattern.Pattern.Match.
func (g *guarded) match(line []byte) (ok bool, err error) {
	if g.off {
		return false, errOff
	}
	begin := time.Now()
	ok, err = g.Match(line)
	g.judge(begin, err)
	return ok, err
}

// find is pattern.Pattern.Find. The result is valid until the next call.
func (g *guarded) find(line []byte) (loc []int, err error) {
	if g.off {
		return nil, errOff
	}
	begin := time.Now()
	if loc, err = g.Find(g.loc, line); loc != nil {
		g.loc = loc
	}
	g.judge(begin, err)
	return loc, err
}

// replace is pattern.Pattern.Replace.
func (g *guarded) replace(dst, line []byte, template string) (_ []byte, err error) {
	if g.off {
		return dst, errOff
	}
	begin := time.Now()
	dst, err = g.Replace(dst, line, template)
	g.judge(begin, err)
	return dst, err
}

// judge counts a strike in units of 1/forgiven.
func (g *guarded) judge(begin time.Time, err error) {
	took := time.Since(begin)
	if took < slow && !errors.Is(err, pattern.ErrTimeout) {
		g.strikes = max(0, g.strikes-1)
		return
	}
	if g.strikes += forgiven; g.strikes > maxStrikes*forgiven {
		g.off = true
		g.log.Error("a pattern is switched off, because it took too long too often", "key", g.key, "took", took)
	}
}
