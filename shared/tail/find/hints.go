// SPDX-License-Identifier: Apache-2.0

package find

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// maxWatches and maxWatchesEach bound the directories that are watched, in total and for one owner. In other directories
	// files are found only by searching.
	maxWatches, maxWatchesEach = 4096, 256
	// Hints uses at most 1/watchShare of the user's inotify watches: all processes of the host that run as this user share
	// them.
	watchShare = 4
)

// Hints reports that something was created, renamed or removed in a directory, so that a file that exists for less than the time
// between two searches is seen. It only gives hints: the next search finds what Hints misses.
//
// It uses inotify directly instead of fsnotify, which always asks for writes as well: that would cost a wake-up for each write to
// each log, here and in the application.
type Hints struct {
	notify func(owner string)
	log    *slog.Logger
	max    int

	mu      sync.Mutex
	file    *os.File // nil if inotify is not available, and after Close
	failed  bool     // events are no longer read
	byID    map[Inode]*watch
	byWatch map[int32]*watch
	owners  map[string]*ownerWatches
}

// watch is one directory that is watched.
type watch struct {
	id     Inode
	number int32
	local  bool           // only this kernel changes its file system
	owners map[string]int // the round in which each owner last asked for it
}

// ownerWatches holds the number of an owner's watches, and of those that it has asked for in this round.
type ownerWatches struct{ round, watches, asked int }

// NewHints returns Hints that call notify, from their own goroutine, with each owner of a directory in which something changed.
func NewHints(notify func(owner string), log *slog.Logger) *Hints {
	h := &Hints{notify: notify, log: log, max: min(maxWatches, userWatches()/watchShare),
		byID: map[Inode]*watch{}, byWatch: map[int32]*watch{}, owners: map[string]*ownerWatches{}}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		log.Info("inotify is not available: new files are found by searching only, within two seconds", "error", err)
		return h
	}
	h.file = os.NewFile(uintptr(fd), "inotify")
	go h.listen(h.file)
	return h
}

// userWatches returns the host's limit of watches, or Linux's least default if it can't be read.
func userWatches() int {
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_user_watches")
	if err != nil {
		return 8192
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 8192
	}
	return n
}

// listen notifies owners until the file is closed. What exactly happened does not matter.
func (h *Hints) listen(file *os.File) {
	buf := make([]byte, 64<<10)
	for {
		n, err := file.Read(buf)
		if err != nil { // it was closed
			h.mu.Lock()
			h.failed = true
			h.mu.Unlock()
			return
		}
		for _, owner := range h.concerned(buf[:n]) {
			h.notify(owner)
		}
	}
}

// concerned returns the owners of the directories that events concern, or all owners if events were lost.
func (h *Hints) concerned(events []byte) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	set := map[string]bool{}
	for len(events) >= unix.SizeofInotifyEvent {
		number := int32(binary.NativeEndian.Uint32(events)) // struct inotify_event of inotify(7): wd, mask, cookie, len
		mask := binary.NativeEndian.Uint32(events[4:])
		name := int(binary.NativeEndian.Uint32(events[12:]))
		events = events[min(len(events), unix.SizeofInotifyEvent+name):]
		if mask&unix.IN_Q_OVERFLOW != 0 {
			for owner := range h.owners {
				set[owner] = true
			}
		}
		w := h.byWatch[number]
		if w == nil {
			continue
		}
		for owner := range w.owners {
			set[owner] = true
		}
		if mask&unix.IN_IGNORED != 0 { // the directory is gone
			h.drop(w)
		}
	}
	var all []string
	for owner := range set {
		all = append(all, owner)
	}
	return all
}

// Watch asks for hints about an open directory. It must be called again in each round, which costs a map access. complete reports
// whether the owner is notified of every name that was created, renamed or removed in the directory since the previous round. It
// is false in the first round, and on file systems that others may change.
func (h *Hints) Watch(owner string, dir *os.File, id Inode) (complete bool) {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.owners[owner]
	if o == nil {
		o = &ownerWatches{}
		h.owners[owner] = o
	}
	w := h.byID[id]
	if w == nil {
		if h.file == nil || len(h.byID) >= h.max || o.watches >= maxWatchesEach {
			return false
		}
		number, err := h.add(dir)
		if err != nil {
			if !errors.Is(err, unix.ENOENT) {
				h.log.Info("cannot watch directory: its new files are found by searching only, within two seconds",
					"directory", dir.Name(), "error", err)
			}
			return false
		}
		if w = h.byWatch[number]; w != nil { // the same directory under another device number
			delete(h.byID, w.id)
		} else {
			w = &watch{number: number, local: isLocal(dir), owners: map[string]int{}}
		}
		w.id = id
		h.byID[id], h.byWatch[number] = w, w
	}
	round, before := w.owners[owner]
	if !before {
		o.watches++
	}
	if !before || round != o.round {
		o.asked++
	}
	w.owners[owner] = o.round
	return before && w.local && !h.failed
}

// isLocal reports whether a directory is on a file system that reports all changes by inotify, because this kernel makes them.
// Network file systems and FUSE do not. An overlay only reports changes that are made through the same mount.
func isLocal(dir *os.File) bool {
	var s unix.Statfs_t
	if unix.Fstatfs(int(dir.Fd()), &s) != nil {
		return false
	}
	switch int64(s.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.F2FS_SUPER_MAGIC: // EXT4 is ext2 and ext3 too
		return true
	}
	return false
}

func (h *Hints) add(dir *os.File) (int32, error) {
	const events = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_ONLYDIR
	n, err := unix.InotifyAddWatch(int(h.file.Fd()), fmt.Sprintf("/proc/self/fd/%d", dir.Fd()), events)
	return int32(n), err
}

// Round ends a round of an owner: directories that it did not ask for are no longer watched for it.
func (h *Hints) Round(owner string) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.owners[owner]
	if o == nil {
		return
	}
	if o.asked < o.watches {
		for _, w := range h.byID {
			if round, ok := w.owners[owner]; ok && round != o.round {
				h.release(w, owner)
			}
		}
	}
	o.round++
	o.asked = 0
}

// Forget ends all watches of an owner.
func (h *Hints) Forget(owner string) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.byID {
		if _, ok := w.owners[owner]; ok {
			h.release(w, owner)
		}
	}
	delete(h.owners, owner)
}

func (h *Hints) release(w *watch, owner string) {
	h.disown(w, owner)
	if len(w.owners) == 0 {
		if h.file != nil {
			_, _ = unix.InotifyRmWatch(int(h.file.Fd()), uint32(w.number)) // the directory may be gone
		}
		h.drop(w)
	}
}

func (h *Hints) disown(w *watch, owner string) {
	if o := h.owners[owner]; o != nil {
		o.watches--
		if w.owners[owner] == o.round {
			o.asked--
		}
	}
	delete(w.owners, owner)
}

func (h *Hints) drop(w *watch) {
	for owner := range w.owners {
		h.disown(w, owner)
	}
	delete(h.byID, w.id)
	delete(h.byWatch, w.number)
}

// Close ends all hints.
func (h *Hints) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file != nil {
		_ = h.file.Close()
		h.file = nil
	}
}
