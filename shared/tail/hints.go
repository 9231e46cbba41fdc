// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"errors"
	"log/slog"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// maxWatched bounds the directories that are watched; in others everything is found by looking.
const maxWatched = 1024

// hints tells when something was created, renamed or removed in a directory, so that a file that lives shorter than
// the time between two scans is seen. It is no more than a hint: whatever it misses is found by the next scan.
//
// It uses inotify itself and not through fsnotify, which always asks for writes too: that would cost a wake-up for each
// write to each log, here and in the application.
type hints struct {
	call func()
	log  *slog.Logger

	mu   sync.Mutex
	file *os.File // nil where there is no inotify
	dirs map[string]bool
}

func newHints(call func(), log *slog.Logger) *hints {
	h := &hints{call: call, log: log, dirs: map[string]bool{}}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		log.Info("no inotify: files are found by looking only, within two seconds", "error", err)
		return h
	}
	h.file = os.NewFile(uintptr(fd), "inotify")
	go h.listen(h.file)
	return h
}

// listen calls for whatever comes. What exactly happened, or whether events were lost, makes no difference.
func (h *hints) listen(file *os.File) {
	buf := make([]byte, 64<<10)
	for {
		if _, err := file.Read(buf); err != nil {
			return // closed
		}
		h.call()
	}
}

// watch asks for hints about a directory. It may be called again for the same one, at little cost. There are no hints
// before Run.
func (h *hints) watch(dir string) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file == nil || h.dirs[dir] || len(h.dirs) == maxWatched {
		return
	}
	h.dirs[dir] = true
	const events = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_ONLYDIR
	if _, err := unix.InotifyAddWatch(int(h.file.Fd()), dir, events); err != nil && !errors.Is(err, unix.ENOENT) {
		h.log.Info("a directory can't be watched: its files are found by looking only, within two seconds", "directory", dir, "error", err)
	}
}

// reset forgets which directories are watched, because one may have been replaced by another of the same name.
func (h *hints) reset() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.dirs)
}

func (h *hints) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file != nil {
		_ = h.file.Close()
		h.file = nil
	}
}
