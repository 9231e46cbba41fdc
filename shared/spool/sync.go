// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/notice"
)

// syncEvery makes durable what was appended, once per SyncInterval. It runs in its own goroutine, because fsync may take seconds
// on a busy disk and neither capture nor maintenance can wait for that.
func (s *Spool) syncEvery(ctx context.Context) {
	tick := time.NewTicker(s.opt.SyncInterval)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := s.syncAll()
		if err != nil && !failing {
			notice.SpoolNotSynced.Log(s.opt.Log, "error", err)
		}
		failing = err != nil
	}
}

// syncAll syncs all logs, a few at a time: the disk merges concurrent requests.
func (s *Spool) syncAll() error {
	const atOnce = 4
	work := make(chan *Log)
	var mu sync.Mutex
	var errs []error
	var group sync.WaitGroup
	for range atOnce {
		group.Go(func() {
			for l := range work {
				if err := l.Sync(); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, l := range s.Logs() {
		if l.unsynced() {
			work <- l
		}
	}
	close(work)
	group.Wait()
	return errors.Join(errs...)
}

// unsynced reports whether Sync has something to do. A writer does not know what readers in other processes have released. Those
// leave syncing to it.
func (l *Log) unsynced() bool {
	switch {
	case l.followed.on:
		return false
	case l.spool.opt.Role == Writer:
		return l.end.Load() > l.synced.Load()
	}
	return l.end.Load() > max(l.synced.Load(), l.lowestReleased())
}
