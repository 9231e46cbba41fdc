// SPDX-License-Identifier: Apache-2.0

package loggers

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/manifest"
)

// lastLineAfter is how long nothing must have come of a container that has ended for its last line to be complete.
const lastLineAfter = time.Second

// tail is the end of a log as it was when it was looked at last.
type tail struct {
	container *manifest.Container
	end       int64
	since     time.Time // when the log was found to end there, and the container to have ended
}

// endLines ends the last lines, if they have no newline, of containers that have ended. Their logs have not: containerd holds
// the pipes open until the task is deleted, which may be never. Bytes that come all the same, of a process that outlived the
// container's first one, are a line of their own.
func (s *Source) endLines(now time.Time) {
	for key, t := range s.tails {
		l := s.spool.Log(key)
		if l == nil || l.Ended() {
			delete(s.tails, key)
			continue
		}
		end := l.End()
		if end != t.end || s.opt.Exited == nil || !s.opt.Exited(t.container) || s.agent.pending(key) {
			t.end, t.since = end, now
			continue
		}
		if end > 0 && now.Sub(t.since) >= lastLineAfter {
			l.EndLine(end)
		}
	}
}

// pending reports whether something is in the pipes of the container of that key: its logger was killed, or waits for room.
// Where the pipes are not held, that is not known.
func (a *Agent) pending(key string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := a.held[key]
	if h == nil {
		return false
	}
	for _, f := range h.files {
		raw, err := f.SyscallConn()
		if err != nil {
			continue
		}
		n := 0
		_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
		if n > 0 {
			return true
		}
	}
	return false
}
