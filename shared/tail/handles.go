// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"errors"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// defaultMaxOpen leaves half of what the process may open to others: connections, directories, the store.
func defaultMaxOpen() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 256
	}
	return int(min(max(limit.Cur/2, 16), 1024))
}

// opened is how many files are open.
func (t *Tailer) opened() int {
	n := len(t.held)
	for _, f := range t.files {
		if f.body != nil {
			n++
		}
	}
	return n
}

// relieve closes an eighth of the files, so that others can be opened: those first whose loss would cost nothing,
// because they are read to their end, and then those that can be opened again by their name, the longest unchanged
// first. A file that was removed is never among them: its handle is all there is of it.
func (t *Tailer) relieve() {
	type choice struct {
		file   *file
		unread bool
	}
	var all []choice
	for _, f := range t.files {
		if f.body != nil && f.links > 0 && f.rel != "" && len(f.unsaved) == 0 && !f.remark {
			all = append(all, choice{f, f.unreadNow() > 0})
		}
	}
	slices.SortFunc(all, func(a, b choice) int {
		if a.unread != b.unread {
			if a.unread {
				return 1
			}
			return -1
		}
		return a.file.changed.Compare(b.file.changed)
	})
	for _, c := range all[:min(len(all), max(1, t.cfg.MaxOpen/8))] {
		c.file.close()
		t.counts.Closed++
	}
}

// limit gives up the oldest of the files that were removed before they were read, while all of them together hold back
// more of the disk than they may.
func (t *Tailer) limit(now time.Time) {
	var gone []*file
	held := int64(0)
	for f := range t.active {
		if f.links == 0 && f.body != nil {
			gone = append(gone, f)
			held += f.blocks
		}
	}
	t.counts.HeldBytes = held
	if held <= t.cfg.MaxDeleted {
		return
	}
	slices.SortFunc(gone, func(a, b *file) int { return a.since.Compare(b.since) })
	for _, f := range gone {
		if held <= t.cfg.MaxDeleted {
			return
		}
		held -= f.blocks
		t.lose(f, now, "removed, and more was held back than REMORA_MAX_DELETED_BYTES")
	}
}

// openWithin opens a file, having closed others if there are too many.
func (t *Tailer) openWithin(v *volume, rel string, now time.Time) (*os.File, stat, error) {
	if v.root == nil {
		return nil, stat{}, os.ErrNotExist
	}
	if t.opens++; t.opens >= t.cfg.MaxOpen {
		if t.opens = t.opened(); t.opens >= t.cfg.MaxOpen {
			t.saveAll() // a file that is not recorded yet can't be closed
			t.relieve()
			t.opens = t.opened()
		}
	}
	h, s, err := t.open(v, rel)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		t.relieve()
		h, s, err = t.open(v, rel)
	}
	return h, s, err
}
