// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/tail/find"
)

const (
	// maxProblems bounds the problems that are listed, and maxNoted those that are only noted as logged.
	maxProblems, maxNoted = 1000, 16_384
	// problemLasts is how long a problem is kept without being confirmed: its path is gone, or is no longer looked up.
	problemLasts = time.Minute
	// missingFor is how long a path must be missing before that is logged: a removed container's directories disappear before
	// its removal is reported.
	missingFor = 3 * time.Second
)

// problems logs each problem with a path once, and once that the path can be read again.
type problems struct {
	log *slog.Logger

	mu   sync.Mutex
	now  time.Time
	list map[subject]problem
	// noted holds problems that are not listed because there are too many, by a hash, and when each was last confirmed.
	noted   map[uint64]time.Time
	expired time.Time
	full    bool // it was logged that there are more than can be noted
	seed    maphash.Seed
}

// subject is what a problem concerns: a path, a declaration or "checkpoints", of an origin.
type subject struct{ origin, path string }

type problem struct {
	text   string
	since  time.Time
	last   time.Time // when it was last confirmed
	logged bool
}

// report notes that err is wrong with a subject, or that nothing is if err is nil, and logs changes.
func (p *problems) report(about subject, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, listed := p.list[about]
	if err == nil {
		if listed {
			delete(p.list, about)
		}
		if before.logged {
			p.logger(about).Info("path readable again", "path", about.path)
		}
		return
	}
	text := err.Error()
	if listed || len(p.list) < maxProblems {
		if p.list == nil {
			p.list = map[subject]problem{}
		}
		o := problem{text, p.now, p.now, false}
		if before.text == text {
			o.since, o.logged = before.since, before.logged
		} else {
			o.logged = p.takeNoted(about, text)
		}
		was := o.logged
		o.logged = was || !errors.Is(err, fs.ErrNotExist) || p.now.Sub(o.since) >= missingFor
		p.list[about] = o
		if was || !o.logged {
			return
		}
	} else if !p.note(about, text) {
		return
	}
	var refused *find.Refused
	if errors.As(err, &refused) {
		notice.PathNotRead.Log(p.logger(about), "path", about.path, "reason", err)
		return
	}
	notice.PathUnreadable.Log(p.logger(about), "path", about.path, "error", err)
}

// note reports whether a problem that can't be listed must be logged: it is new, and there is room to note that it was logged.
func (p *problems) note(about subject, text string) bool {
	h := p.hash(about, text)
	_, known := p.noted[h]
	if !known && len(p.noted) >= maxNoted {
		if !p.full {
			p.full = true
			notice.PathsUnreadable.Log(p.log, "logged", len(p.list)+len(p.noted))
		}
		return false
	}
	if p.noted == nil {
		p.noted = map[uint64]time.Time{}
	}
	p.noted[h] = p.now
	return !known
}

// takeNoted reports whether a problem that is now listed was logged before, and removes it from noted.
func (p *problems) takeNoted(about subject, text string) bool {
	if len(p.noted) == 0 {
		return false
	}
	h := p.hash(about, text)
	_, known := p.noted[h]
	delete(p.noted, h)
	return known
}

func (p *problems) hash(about subject, text string) uint64 {
	if p.seed == (maphash.Seed{}) {
		p.seed = maphash.MakeSeed()
	}
	return maphash.String(p.seed, about.origin+"\x00"+about.path+"\x00"+text)
}

// tick forgets problems that were not confirmed for a while.
func (p *problems) tick(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = now
	if since := now.Sub(p.expired); since >= 0 && since < problemLasts/4 {
		return
	}
	p.expired = now
	old := func(last time.Time) bool { return now.Sub(last) >= problemLasts }
	maps.DeleteFunc(p.list, func(_ subject, o problem) bool { return old(o.last) })
	maps.DeleteFunc(p.noted, func(_ uint64, last time.Time) bool { return old(last) })
	p.full = p.full && len(p.noted) >= maxNoted
}

// logger returns the logger for a subject, with its origin if it has one.
func (p *problems) logger(about subject) *slog.Logger {
	if about.origin == "" {
		return p.log
	}
	return p.log.With("origin", about.origin)
}

// forget drops the problems of an origin.
func (p *problems) forget(origin string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.list, func(about subject, _ problem) bool { return about.origin == origin && about != checkpoints })
}

// checkpoints is the subject of problems with the store.
var checkpoints = subject{"", "checkpoints"}

// Problem is a present problem with a path, or another subject, of an origin.
type Problem struct{ Origin, Path, Error string }

func (p *problems) all() []Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Problem, 0, len(p.list)+1)
	for about, o := range p.list {
		all = append(all, Problem{about.origin, about.path, o.text})
	}
	slices.SortFunc(all, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Origin, b.Origin), strings.Compare(a.Path, b.Path))
	})
	if n := len(p.noted); n > 0 {
		all = append(all, Problem{Path: "and more", Error: fmt.Sprintf("%d more paths cannot be read", n)})
	}
	return all
}
