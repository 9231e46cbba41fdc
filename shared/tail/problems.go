// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"cmp"
	"errors"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/remora-logs/remora/shared/tail/find"
)

// maxProblems bounds what is remembered to be wrong at a time. Of more than that the oldest are dropped, and are logged again
// if they last.
const maxProblems = 1000

// problems logs once what is wrong with a path, and once that it is not any more.
type problems struct {
	log   *slog.Logger
	mu    sync.Mutex
	now   map[subject]problem
	count uint64 // of reports
}

// subject is what a problem is about: a path, a declaration or "checkpoints", of an origin.
type subject struct{ origin, path string }

type problem struct {
	text  string
	since uint64 // the report that brought it
	last  uint64 // the report that confirmed it last
}

// report notes what is wrong with a subject; nothing if err is nil.
func (p *problems) report(about subject, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	before, known := p.now[about]
	switch {
	case err == nil && !known:
		return
	case err == nil:
		delete(p.now, about)
		p.logger(about).Info("path readable again", "path", about.path)
		return
	case before.text == err.Error():
		before.last = p.count
		p.now[about] = before
		return
	}
	if p.now == nil {
		p.now = map[subject]problem{}
	}
	if !known && len(p.now) >= maxProblems {
		p.dropOldest()
	}
	p.now[about] = problem{err.Error(), p.count, p.count}
	var refused *find.Refused
	if errors.As(err, &refused) {
		p.logger(about).Warn("path is not read", "path", about.path, "reason", err)
		return
	}
	p.logger(about).Warn("cannot read path, retrying", "path", about.path, "error", err)
}

// logger names the origin, where there are several.
func (p *problems) logger(about subject) *slog.Logger {
	if about.origin == "" {
		return p.log
	}
	return p.log.With("origin", about.origin)
}

// dropOldest drops the problem that was confirmed the longest ago: its path is probably gone.
func (p *problems) dropOldest() {
	var oldest subject
	last := uint64(math.MaxUint64)
	for about, o := range p.now {
		if o.last < last {
			oldest, last = about, o.last
		}
	}
	delete(p.now, oldest)
}

// forget drops what is wrong with an origin.
func (p *problems) forget(origin string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.now, func(about subject, _ problem) bool { return about.origin == origin && about != checkpoints })
}

// checkpoints is the subject of problems with the store.
var checkpoints = subject{"", "checkpoints"}

// Problem is what is wrong with a path, or another subject, of an origin at present.
type Problem struct{ Origin, Path, Error string }

func (p *problems) list() []Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Problem, 0, len(p.now))
	for about, o := range p.now {
		all = append(all, Problem{about.origin, about.path, o.text})
	}
	slices.SortFunc(all, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Origin, b.Origin), strings.Compare(a.Path, b.Path))
	})
	return all
}
