// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"context"
	"fmt"
	"time"
)

// Counts holds what the tailer has counted since it started, and what it holds now.
type Counts struct {
	// Generations counts streams that were started, and Truncations those of them that a truncation started.
	Generations, Truncations, Rotations int64
	// Copies counts files that hold what another file held: copies made by copytruncate, and compressed files.
	Copies int64
	// Lost counts bytes that were truncated or removed before they could be read.
	Lost int64
	// Closed counts handles that were closed to open others, and Removed files that DeleteAfter deleted.
	Closed, Removed int64
	// HeldBytes is the disk space of removed files that are still to be read. Files is the number of known files, and Open
	// how many of them are open.
	HeldBytes   int64
	Files, Open int
}

// add adds the counters of o, but not what o holds now.
func (c *Counts) add(o Counts) {
	c.Generations += o.Generations
	c.Truncations += o.Truncations
	c.Rotations += o.Rotations
	c.Copies += o.Copies
	c.Lost += o.Lost
	c.Closed += o.Closed
	c.Removed += o.Removed
}

// status is what a step publishes for the other methods.
type status struct {
	counts    Counts
	leftFiles int
	leftBytes int64
	unread    []Unread
}

// originStatus is what a step of an origin publishes for other goroutines.
type originStatus struct {
	counts    Counts
	leftFiles int
	leftBytes int64
	unread    []Unread
	changed   time.Time // when one of its files last grew
	scanning  bool      // its scan is not complete
}

// publishOrigin publishes the status of an origin.
func (t *Tailer) publishOrigin(o *origin, now time.Time) {
	s := originStatus{counts: o.counts, scanning: o.scan != nil}
	s.counts.Files, s.counts.Open = len(o.byInode), o.countOpen()
	for g := range o.activeAndLeft() { // the others are acknowledged to their ends
		if left := o.unfinished(g); left > 0 && len(g.selections) > 0 {
			s.leftFiles++
			s.leftBytes += left
			if len(s.unread) < maxUnread {
				s.unread = append(s.unread, Unread{g.path, left})
			}
		}
		if g.changed.After(s.changed) && !g.changed.After(now) {
			s.changed = g.changed
		}
	}
	o.open.Store(int32(s.counts.Open))
	t.mu.Lock()
	o.status = s
	t.mu.Unlock()
}

// unfinished returns how many bytes of a generation are not acknowledged. In a drain, only bytes that existed when it began
// count.
func (o *origin) unfinished(g *generation) int64 {
	unacked := g.owed().unacked
	if o.drainEnds == nil {
		return unacked
	}
	end, ok := o.drainEnds[g]
	if !ok {
		return 0 // found later
	}
	return unacked - max(0, g.end.Load()-end)
}

// publish publishes the status of all origins together.
func (t *Tailer) publish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := status{counts: t.counts}
	s.counts.HeldBytes = t.held
	for _, o := range *t.list.Load() {
		s.counts.add(o.status.counts)
		s.counts.Files += o.status.counts.Files
		s.counts.Open += o.status.counts.Open
		s.leftFiles += o.status.leftFiles
		s.leftBytes += o.status.leftBytes
		s.unread = append(s.unread, o.status.unread[:min(len(o.status.unread), maxUnread-len(s.unread))]...)
	}
	t.status = s
}

// refresh publishes what has changed since the last step, unless a step is running.
func (t *Tailer) refresh() {
	select {
	case t.stepping <- struct{}{}:
	default:
		return
	}
	defer func() { <-t.stepping }()
	for _, o := range *t.list.Load() {
		if o.step.TryLock() {
			o.collectDone()
			t.publishOrigin(o, t.cfg.Now())
			o.step.Unlock()
		}
	}
	t.publish()
}

// MaxDeleted returns Config.MaxDeleted, which bounds HeldBytes.
func (t *Tailer) MaxDeleted() int64 { return t.cfg.MaxDeleted }

// Counts returns the counters and what the tailer holds, as of the last step or now.
func (t *Tailer) Counts() Counts {
	t.refresh()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status.counts
}

// Problems returns the present problems, ordered by origin and path.
func (t *Tailer) Problems() []Problem { return t.problems.all() }

// Drain searches once more for all files, and then lets every stream end where its file ends now: an unterminated last line
// becomes a record. It returns when that is arranged, or with an error if ctx ends before, because a file system may not answer.
// Run must not return before the pipeline has read and sent everything. The files stay open until Close. What is written after
// Drain is left to the next start.
func (t *Tailer) Drain(ctx context.Context) error {
	drains, err := t.startDrain(ctx)
	if err != nil {
		return err
	}
	for _, d := range drains {
		select {
		case err := <-d:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return incomplete(ctx)
		}
	}
	return nil
}

func incomplete(ctx context.Context) error {
	return fmt.Errorf("searching files was not complete: %w", ctx.Err())
}

// startDrain drains each origin. Origins whose file systems do not answer at once report their results in drains.
func (t *Tailer) startDrain(ctx context.Context) (drains []<-chan error, err error) {
	select {
	case t.stepping <- struct{}{}:
	case <-ctx.Done():
		return nil, incomplete(ctx)
	}
	defer func() { <-t.stepping }()
	t.draining.Store(true)
	now := t.cfg.Now()
	t.problems.tick(now) // Run may not have run a step yet
	t.takeRequests()
	for _, o := range *t.list.Load() {
		drained := make(chan error, 1)
		go func() {
			o.step.Lock()
			err := t.drainOrigin(ctx, o, now)
			o.step.Unlock()
			drained <- err
		}()
		select {
		case err := <-drained:
			if err != nil {
				return nil, err
			}
		case <-time.After(t.patience):
			drains = append(drains, drained)
		}
	}
	t.expire(now)
	t.limitHeld(now)
	t.publish()
	return drains, nil
}

func (t *Tailer) drainOrigin(ctx context.Context, o *origin, now time.Time) error {
	o.collectDone()
	o.reopens = 0
	t.observeAll(o, now, true)
	o.scan = nil
	for complete := o.phase == withdrawing || o.over(); !complete; {
		if ctx.Err() != nil {
			return incomplete(ctx)
		}
		budget := scanBudget
		complete = t.scanOn(o, now, &budget)
	}
	t.observeAll(o, now, true)
	t.settle(o, now)
	o.drainEnds = map[*generation]int64{}
	for g := range o.all() {
		g.setEnding(true)
		o.drainEnds[g] = g.end.Load()
	}
	o.release()
	t.publishOrigin(o, now)
	return nil
}

// Resume follows the files again after Drain, as if Drain had not been called. A line that Drain has ended stays ended.
func (t *Tailer) Resume() {
	t.draining.Store(false)
	t.wake()
}

// resume lets the streams of active files continue.
func (o *origin) resume() {
	o.drainEnds = nil
	for g := range o.all() {
		if g.state == Active {
			g.setEnding(false)
		}
	}
}

// maxUnread bounds the files that Unfinished names.
const maxUnread = 5

// Unread is a file that is not acknowledged to its end.
type Unread struct {
	Path  string // as its writer knows it
	Bytes int64  // not acknowledged
}

// Unfinished names some of the files that Left counts.
func (t *Tailer) Unfinished() []Unread {
	t.refresh()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status.unread
}

// Left returns how many files are not acknowledged to their ends, and how many bytes of them are not. What was written after
// Drain does not count, so that a drain ends even while the files' writer continues.
func (t *Tailer) Left() (files int, bytes int64) {
	t.refresh()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status.leftFiles, t.status.leftBytes
}
