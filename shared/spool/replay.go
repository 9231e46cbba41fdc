// SPDX-License-Identifier: Apache-2.0

package spool

import "io"

// Replay reads what is on disk at or after off, for docker logs. It needs no view and does not keep anything from being given up.
// It returns the offset at which it read, which is greater than off if bytes are gone, and may be in the middle of a frame. It
// returns 0 and nil if there is nothing more for now, and io.EOF if there never will be. It may be called from any goroutine.
func (l *Log) Replay(p []byte, off int64) (n int, at int64, err error) {
	ended := l.ended.Load()
	end := l.end.Load()
	at = max(off, l.freed.Load())
	stop := end
	for _, v := range l.views {
		v.mu.Lock()
		if g, next := findGap(v.gaps, at); g != nil {
			at = g.to
		} else {
			stop = min(stop, next)
		}
		v.mu.Unlock()
	}
	if g, next := findGap(*l.sharedGaps.Load(), at); g != nil {
		at = g.to
	} else {
		stop = min(stop, next)
	}
	if at < stop {
		n, err = l.pread(p, at, stop)
	}
	if err == nil && n == 0 && at >= end && ended {
		err = io.EOF
	}
	return n, at, err
}
