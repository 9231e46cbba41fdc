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
	// knownWait is how long the delivery of a new log waits for containerd's answer about its container.
	knownWait = 2 * time.Second
	// askTime bounds one question, and maxAsking the number of concurrent ones.
	askTime   = 10 * time.Second
	maxAsking = 8
)

// Ask asks containerd about the container of a log, until ctx ends. It returns nil and no error if there is no containerd to
// ask. It is called from several goroutines.
type Ask func(ctx context.Context, c *manifest.Container) (*manifest.Known, error)

// questions holds the pending questions about containers with new logs. An answer is stored beside the container's log, so that
// each container is asked about once.
type questions struct {
	dir   string
	ask   Ask
	log   *slog.Logger
	slots chan struct{}
	// answers receives an element when an answer has arrived.
	answers chan struct{}

	mu  sync.Mutex // guards the questions; only the goroutine that runs Source.Run uses the map
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

// add adds to c what containerd knows about it, and asks if no answer is stored. It reports false while the caller should wait
// for the answer.
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
		maps.DeleteFunc(q.all, func(_ string, old *question) bool { return time.Since(old.since) > 2*askTime }) // their logs are gone
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

// put asks and stores the answer, even if it comes too late for this process: the next one reads it.
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
