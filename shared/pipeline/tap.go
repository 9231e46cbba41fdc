// SPDX-License-Identifier: Apache-2.0

package pipeline

import "github.com/remora-logs/remora/shared/record"

// Tap is called with each batch that an output has answered for. taken reports whether the backend has accepted the record at
// an index. Goroutines that send call it, several at a time, so it must be quick and must not block. It must not retain the
// records or parts of them.
type Tap func(output string, records []record.Record, taken func(i int) bool)

// SetTap makes the pipeline call t with each batch from now on. A nil t removes the tap; without one a batch costs one load.
func (p *Pipeline) SetTap(t Tap) {
	if t == nil {
		p.tap.Store(nil)
		return
	}
	p.tap.Store(&t)
}

func (s *shard) show(f *inflightBatch) {
	tap := s.pipeline.tap.Load()
	if tap == nil {
		return
	}
	(*tap)(s.sink.name, f.batch.Records, func(i int) bool { return f.verdicts == nil || f.verdicts[i] == 0 })
}
