// SPDX-License-Identifier: Apache-2.0

package loggers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/manifest"
)

const (
	// knownWait is how long a new log waits for what containerd tells of its container. Then it is delivered without.
	knownWait = 2 * time.Second
	// askTime bounds one question, and maxAsking how many are asked at once.
	askTime   = 10 * time.Second
	maxAsking = 8
)

// Ask asks containerd about the container of a log, until ctx ends. The answer is nil where nobody is to be asked. It is
// called from several goroutines.
type Ask func(ctx context.Context, c *manifest.Container) (*manifest.Known, error)

// questions are those about containers whose logs are new. What is known of a container is stored beside its log, so that it
// is asked about once.
type questions struct {
	dir   string
	ask   Ask
	log   *slog.Logger
	slots chan struct{}
	// answers says that a log which waits may wait no longer.
	answers chan struct{}

	mu  sync.Mutex // guards the content of all, which the goroutine that runs Source.Run has
	all map[string]*question
}

type question struct {
	since    time.Time
	answered bool
	known    *manifest.Known
	err      error
}

func newQuestions(dir string, ask Ask, log *slog.Logger) *questions {
	return &questions{dir: dir, ask: ask, log: log, slots: make(chan struct{}, maxAsking), answers: make(chan struct{}, 1),
		all: map[string]*question{}}
}

// add adds to a container what is known of it. It reports false while there is reason to wait for that.
func (q *questions) add(ctx context.Context, key string, c *manifest.Container) bool {
	if q.all[key] == nil {
		known, err := manifest.ReadKnown(filepath.Join(q.dir, key))
		if err == nil {
			c.Add(known)
			return true
		}
		if q.ask == nil || c.Damaged {
			return true
		}
		maps.DeleteFunc(q.all, func(_ string, old *question) bool { return time.Since(old.since) > 2*askTime }) // whose log is gone
		now := &question{since: time.Now()}
		q.all[key] = now
		of := *c
		go q.put(ctx, key, now, &of)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	asked := q.all[key]
	if !asked.answered && time.Since(asked.since) < knownWait {
		return false
	}
	delete(q.all, key)
	switch {
	case !asked.answered:
		asked.err = fmt.Errorf("containerd has not answered within %v", knownWait)
	case asked.err == nil:
		c.Add(asked.known)
	}
	if asked.err != nil {
		c.Problems = append(c.Problems, "the container's labels and image are not known: "+asked.err.Error())
	}
	return true
}

// put asks and stores the answer, also one that comes too late for this process: the next one has it.
func (q *questions) put(ctx context.Context, key string, to *question, c *manifest.Container) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	known, err := q.answer(ctx, c)
	if known != nil {
		if failed := known.Store(filepath.Join(q.dir, key)); failed != nil {
			q.log.Debug("labels of a container can't be stored", "stream", key, "error", failed)
		}
	}
	q.mu.Lock()
	to.answered, to.known, to.err = true, known, err
	q.mu.Unlock()
	select {
	case q.answers <- struct{}{}:
	default:
	}
}

func (q *questions) answer(ctx context.Context, c *manifest.Container) (*manifest.Known, error) {
	select {
	case q.slots <- struct{}{}:
		defer func() { <-q.slots }()
		return q.ask(ctx, c)
	case <-ctx.Done():
		return nil, errors.New("too many are asked about")
	}
}
