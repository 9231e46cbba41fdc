// SPDX-License-Identifier: Apache-2.0

package loggers

import (
	"errors"
	"sync"

	"github.com/remora-logs/remora/shared/handover"
	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/spool"
)

// maxLosses bounds how many losses wait for room in the spool, and with handover.MaxLoss the memory that they take.
const maxLosses = 256

// losses are those of containers that lived while the spool could not be opened. They wait until it can be.
type losses struct {
	mu  sync.Mutex
	all map[string]handover.Loss // by key
}

// add keeps a loss. Beyond the bound a new one is only in the logger's own message.
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

// store gives losses to put until one fails, which is no reason to try the rest: they wait for the same disk. One that
// fails for a reason of its own does not hold up the others for long, as maps are ranged over in random order.
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

// storeLoss makes a log that is one gap, and has ended.
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
	_ = w.EndWriter() // the gap is there; a mark that is missing is made up for, see endOrphan
	return nil
}
