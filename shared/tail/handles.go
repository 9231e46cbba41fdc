// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/tail/find"
)

// defaultMaxOpen returns at most half of what the process may open. The rest is for connections, directories and the store.
func defaultMaxOpen() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 256
	}
	return int(min(max(limit.Cur/2, 16), 1024))
}

// countOpen returns how many files of an origin are open.
func (o *origin) countOpen() int {
	n := len(o.pending)
	for _, g := range o.byInode {
		if g.body != nil {
			n++
		}
	}
	return n
}

// countOpen returns how many files of all origins are open. It is called from the step of origin o.
func (t *Tailer) countOpen(o *origin) int {
	n := o.countOpen()
	for _, p := range *t.list.Load() {
		if p != o {
			n += int(p.open.Load())
		}
	}
	return n
}

// closeIdle closes up to an eighth of MaxOpen files, so that others can be opened: first those that are read to their end, then
// others that can be opened again by their name, each time the longest unchanged first. It never closes a file that was removed,
// which can't be opened again. It is called from the step of origin o. It leaves alone the files of origins whose step is
// running, and files that are being read, because a read may never return.
func (t *Tailer) closeIdle(o *origin) {
	type choice struct {
		origin     *origin
		generation *generation
		unread     bool
	}
	var all []choice
	for _, p := range *t.list.Load() {
		if p != o {
			if !p.step.TryLock() {
				continue
			}
			defer p.step.Unlock()
		}
		for _, g := range p.byInode {
			if g.body == nil || g.Links == 0 || g.rel == "" || len(g.unsaved) > 0 || g.stale {
				continue
			}
			if owed, ok := g.tryOwed(); ok {
				all = append(all, choice{p, g, owed.unread > 0})
			}
		}
	}
	slices.SortFunc(all, func(a, b choice) int {
		if a.unread != b.unread {
			if a.unread {
				return 1
			}
			return -1
		}
		return a.generation.changed.Compare(b.generation.changed)
	})
	left := max(1, t.cfg.MaxOpen/8)
	for _, c := range all {
		if left == 0 {
			break
		}
		if !c.generation.tryClose() {
			continue
		}
		left--
		c.origin.counts.Closed++
		if c.origin != o {
			c.origin.open.Add(-1)
		}
	}
}

// openWithin opens a file of an origin. It closes others first if too many are open.
func (t *Tailer) openWithin(o *origin, tree *find.Tree, rel string) (*os.File, find.Stat, error) {
	if t.opens.Add(1) >= int64(t.cfg.MaxOpen) {
		n := t.countOpen(o)
		if n >= t.cfg.MaxOpen {
			t.record(o) // a file whose position is not stored yet can't be closed
			t.closeIdle(o)
			n = t.countOpen(o)
		}
		t.opens.Store(int64(n))
	}
	h, s, err := t.openFile(tree, rel)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		t.closeIdle(o)
		h, s, err = t.openFile(tree, rel)
	}
	return h, s, err
}
