// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"errors"
	"log/slog"
	"maps"
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
	now   map[string]problem
	count uint64 // of reports
}

type problem struct {
	text  string
	since uint64 // the report that brought it
	last  uint64 // the report that confirmed it last
}

// report notes what is wrong with subject, a path or a declaration; nothing if err is nil.
func (p *problems) report(subject string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	before, known := p.now[subject]
	switch {
	case err == nil && !known:
		return
	case err == nil:
		delete(p.now, subject)
		p.log.Info("path readable again", "path", subject)
		return
	case before.text == err.Error():
		before.last = p.count
		p.now[subject] = before
		return
	}
	if p.now == nil {
		p.now = map[string]problem{}
	}
	if !known && len(p.now) >= maxProblems {
		p.dropOldest()
	}
	p.now[subject] = problem{err.Error(), p.count, p.count}
	var refused *find.Refused
	if errors.As(err, &refused) {
		p.log.Warn("path is not read", "path", subject, "reason", err)
		return
	}
	p.log.Warn("cannot read path, retrying", "path", subject, "error", err)
}

// dropOldest drops the problem that was confirmed the longest ago: its path is probably gone.
func (p *problems) dropOldest() {
	oldest, last := "", uint64(0)
	for subject, o := range p.now {
		if oldest == "" || o.last < last {
			oldest, last = subject, o.last
		}
	}
	delete(p.now, oldest)
}

// forget drops what is wrong with all subjects that begin with prefix.
func (p *problems) forget(prefix string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.now, func(subject string, _ problem) bool { return prefix != "" && strings.HasPrefix(subject, prefix) })
}

// Problem is what is wrong with a path, or another subject, at present.
type Problem struct{ Path, Error string }

func (p *problems) list() []Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Problem
	for _, subject := range slices.Sorted(maps.Keys(p.now)) {
		all = append(all, Problem{subject, p.now[subject].text})
	}
	return all
}
