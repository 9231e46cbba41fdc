// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"context"
	"fmt"
)

// Counts is what the tailer has met since it started, and what it holds now.
type Counts struct {
	// Generations counts streams that were started, Truncations those among them that a truncation started.
	Generations, Truncations, Rotations int64
	// Copies counts files that hold what another one held: the copies of copytruncate, and compressed ones.
	Copies int64
	// Lost counts bytes that were truncated or removed before anyone could read them.
	Lost int64
	// Closed counts handles that were given up to open others, Removed the files deleted by DeleteAfter.
	Closed, Removed int64
	// HeldBytes is the disk space of removed files that are still to be read. Files and Open are those that are known,
	// and how many of them are open.
	HeldBytes   int64
	Files, Open int
}

// status is what a step leaves for the other methods.
type status struct {
	counts    Counts
	leftFiles int
	leftBytes int64
	unread    []Unread
	drained   bool // the streams end where their files ended at Drain
}

// publish leaves what is known now for the other methods.
func (t *Tailer) publish() {
	s := status{counts: t.counts, drained: t.draining}
	for _, o := range t.origins {
		s.counts.Files += len(o.byInode)
		for g := range o.activeAndLeft() { // of the others all is acknowledged
			if left := t.left(g); left > 0 && len(g.selections) > 0 {
				s.leftFiles++
				s.leftBytes += left
				if len(s.unread) < maxUnread {
					s.unread = append(s.unread, Unread{g.path, left})
				}
			}
		}
	}
	s.counts.Open = t.countOpen()
	t.mu.Lock()
	t.status = s
	t.mu.Unlock()
}

// left is how many bytes of a generation are not acknowledged; in a drain, of what was there when it began.
func (t *Tailer) left(g *generation) int64 {
	unacked := g.owed().unacked
	if !t.draining {
		return unacked
	}
	end, ok := t.drainEnds[g]
	if !ok {
		return 0 // found later
	}
	return unacked - max(0, g.end.Load()-end)
}

// refresh publishes unless a step is being made.
func (t *Tailer) refresh() {
	select {
	case t.stepping <- struct{}{}:
		t.collectDone()
		t.publish()
		<-t.stepping
	default:
	}
}

// Counts returns what was counted, as of the last step.
func (t *Tailer) Counts() Counts {
	t.refresh()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status.counts
}

// Problems returns what is wrong at present, by path.
func (t *Tailer) Problems() []Problem { return t.problems.all() }

// Drain searches once more for all files, and then lets every stream end where its file ends now: an unterminated last line
// becomes a record. It returns when that is arranged, or with an error when ctx ends before that: a file system may not
// answer. Run must go on until the pipeline has read and sent it, and the files stay open until Close. What is written
// afterwards is left to the next start.
func (t *Tailer) Drain(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- t.drain(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("searching files was not complete: %w", ctx.Err())
	}
}

func (t *Tailer) drain(ctx context.Context) error {
	select {
	case t.stepping <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("searching files was not complete: %w", ctx.Err())
	}
	defer func() { <-t.stepping }()
	t.draining = true
	now := t.cfg.Now()
	t.problems.tick(now) // Run may not have made a step yet
	t.takeRequests()
	t.collectDone()
	for _, o := range t.byTurn() {
		t.observeAll(o, now, true)
		o.scan = nil
		for complete := o.phase == withdrawing || o.over(); !complete; {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("searching files was not complete: %w", err)
			}
			budget := scanBudget
			complete = t.scanOn(o, now, &budget)
		}
		t.observeAll(o, now, true)
		o.release()
	}
	t.settle(now)
	t.drainEnds = map[*generation]int64{}
	for _, o := range t.origins {
		for g := range o.all() {
			g.setEnding(true)
			t.drainEnds[g] = g.end.Load()
		}
	}
	t.publish()
	return nil
}

// Resume follows the files again after Drain, as if it had not been called. What was taken to be the end of a line stays
// one.
func (t *Tailer) Resume() {
	t.stepping <- struct{}{}
	defer func() { <-t.stepping }()
	t.draining, t.drainEnds = false, nil
	for _, o := range t.origins {
		for g := range o.all() {
			if g.state == Active {
				g.setEnding(false)
			}
		}
	}
}

// maxUnread bounds the files that Unfinished names.
const maxUnread = 5

// Unread is a file of which something is not acknowledged.
type Unread struct {
	Path  string // as its writer knows it
	Bytes int64
}

// Unfinished names some of the files that Left counts.
func (t *Tailer) Unfinished() []Unread {
	t.refresh()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status.unread
}

// Left returns what a drain has left: files of which something is not acknowledged, and how many bytes that is. What was
// written after Drain does not count, so that a drain ends while the files' writer runs on.
func (t *Tailer) Left() (files int, bytes int64) {
	t.refresh()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status.leftFiles, t.status.leftBytes
}
