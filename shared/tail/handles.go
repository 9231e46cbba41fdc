// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/tail/find"
)

// defaultMaxOpen leaves half of what the process may open to others: connections, directories, the store.
func defaultMaxOpen() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 256
	}
	return int(min(max(limit.Cur/2, 16), 1024))
}

// countOpen returns how many files are open.
func (t *Tailer) countOpen() int {
	n := 0
	for _, o := range t.origins {
		n += len(o.pending)
		for _, g := range o.byInode {
			if g.body != nil {
				n++
			}
		}
	}
	return n
}

// closeIdle closes an eighth of the files, so that others can be opened: those first whose loss would cost nothing, because
// they are read to their end, and then those that can be opened again by their name, the longest unchanged first. A file
// that was removed is never among them: its handle is all there is of it.
func (t *Tailer) closeIdle() {
	type choice struct {
		generation *generation
		unread     bool
	}
	var all []choice
	for _, o := range t.origins {
		for _, g := range o.byInode {
			if g.body != nil && g.Links > 0 && g.rel != "" && len(g.unsaved) == 0 && !g.stale {
				all = append(all, choice{g, g.owed().unread > 0})
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
	for _, c := range all[:min(len(all), max(1, t.cfg.MaxOpen/8))] {
		c.generation.close()
		t.counts.Closed++
	}
}

// openWithin opens a file, having closed others if there are too many.
func (t *Tailer) openWithin(tree *find.Tree, rel string) (*os.File, find.Stat, error) {
	if t.opens++; t.opens >= t.cfg.MaxOpen {
		if t.opens = t.countOpen(); t.opens >= t.cfg.MaxOpen {
			t.record() // a file that is not recorded yet can't be closed
			t.closeIdle()
			t.opens = t.countOpen()
		}
	}
	h, s, err := t.openFile(tree, rel)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		t.closeIdle()
		h, s, err = t.openFile(tree, rel)
	}
	return h, s, err
}
