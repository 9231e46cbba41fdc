// SPDX-License-Identifier: Apache-2.0

package loggers

import (
	"errors"
	"sync"

	"github.com/remora-logs/remora/shared/handover"
	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/spool"
)

// maxLosses bounds how many losses wait for the spool and, together with handover.MaxLoss, their memory.
const maxLosses = 256

// losses holds what was discarded of containers that ended while the spool could not be opened, until it can be stored.
type losses struct {
	mu  sync.Mutex
	all map[string]handover.Loss // by key
}

// add keeps a loss. If maxLosses are waiting, it drops the loss, which the logger itself has logged.
func (l *losses) add(key string, loss handover.Loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[string]handover.Loss{}
	}
	if len(l.all) < maxLosses {
		l.all[key] = loss
	}
}

// store passes losses to put until one fails: the others wait for the same disk. A loss that fails for a reason of its own
// does not block the others for long, because map iteration order is random.
func (l *losses) store(put func(key string, loss handover.Loss) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, loss := range l.all {
		if put(key, loss) != nil {
			return
		}
		delete(l.all, key)
	}
}

// storeLoss creates a log that consists of one gap and has ended.
func (s *Source) storeLoss(key string, loss handover.Loss) error {
	encoded := loss.Manifest
	if _, err := manifest.DecodeContainer(encoded); err != nil {
		m := &manifest.Container{Runtime: "containerd", ID: key}
		if encoded, err = m.Encode(); err != nil {
			return err
		}
	}
	w, err := spool.OpenWriter(spool.Options{Dir: s.opt.Dir, MaxBytes: s.opt.Limits.MaxBytes, Log: s.opt.Log}).
		Write(key, encoded, spool.LogOptions{Raw: true, MaxBytes: s.opt.Limits.MaxBytesEach})
	if err != nil {
		return err
	}
	if err := w.AddLoss(loss.Bytes, loss.Lines, "spool could not be opened"); err != nil {
		return errors.Join(err, w.CloseWriter())
	}
	_ = w.EndWriter() // the gap is stored; endOrphan makes up for a missing mark
	return nil
}
