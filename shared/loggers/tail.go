// SPDX-License-Identifier: Apache-2.0

package loggers

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/manifest"
)

// lastLineAfter is how long a container that has ended must have written nothing before its last line counts as complete.
const lastLineAfter = time.Second

// tail is the end of a log at the last check.
type tail struct {
	container *manifest.Container
	end       int64
	since     time.Time // since when the log ends there and the container has ended
}

// endLines completes the unterminated last lines of containers that have ended but whose logs have not: containerd keeps the
// pipes open until the task is deleted, which may be never. Bytes that follow, from a process that outlived the container's
// first one, begin a new line.
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

// pending reports whether the pipes of a container hold data: its logger was killed, or waits for room. It reports false if the
// agent does not hold the pipes.
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
