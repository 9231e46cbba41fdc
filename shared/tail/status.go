// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"context"
	"fmt"
	"time"
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

// add adds what was counted; what is held is not.
func (c *Counts) add(o Counts) {
	c.Generations += o.Generations
	c.Truncations += o.Truncations
	c.Rotations += o.Rotations
	c.Copies += o.Copies
	c.Lost += o.Lost
	c.Closed += o.Closed
	c.Removed += o.Removed
}

// status is what a step leaves for the other methods.
type status struct {
	counts    Counts
	leftFiles int
	leftBytes int64
	unread    []Unread
}

// originStatus is what a step of an origin leaves for all others.
type originStatus struct {
	counts    Counts
	leftFiles int
	leftBytes int64
	unread    []Unread
	changed   time.Time // when one of its files grew last
	scanning  bool      // its scan is not complete
}

// publishOrigin leaves what is known of an origin now.
func (t *Tailer) publishOrigin(o *origin, now time.Time) {
	s := originStatus{counts: o.counts, scanning: o.scan != nil}
	s.counts.Files, s.counts.Open = len(o.byInode), o.countOpen()
	for g := range o.activeAndLeft() { // of the others all is acknowledged
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

// unfinished is how many bytes of a generation are not acknowledged; in a drain, of what was there when it began.
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

// publish leaves what is known of all origins now.
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

// refresh publishes what has changed since the last step, unless one is being made.
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

// MaxDeleted is Config.MaxDeleted, which holds for HeldBytes.
func (t *Tailer) MaxDeleted() int64 { return t.cfg.MaxDeleted }

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
// answer. Run must not return until the pipeline has read and sent it, and the files stay open until Close. What is written
// afterwards is left to the next start.
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

// startDrain drains each origin, and returns what those report whose file systems do not answer at once.
func (t *Tailer) startDrain(ctx context.Context) (drains []<-chan error, err error) {
	select {
	case t.stepping <- struct{}{}:
	case <-ctx.Done():
		return nil, incomplete(ctx)
	}
	defer func() { <-t.stepping }()
	t.draining.Store(true)
	now := t.cfg.Now()
	t.problems.tick(now) // Run may not have made a step yet
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

// Resume follows the files again after Drain, as if it had not been called. What was taken to be the end of a line stays
// one.
func (t *Tailer) Resume() {
	t.draining.Store(false)
	t.wake()
}

// resume lets the streams of files that are still written continue.
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
