// SPDX-License-Identifier: Apache-2.0

package pipeline

import "github.com/remora-logs/remora/shared/record"

// Tap is shown each batch that an output has answered for: taken says of a record, by its index, whether the backend has
// it. It is called by the goroutines that send, several at a time, so it must be quick and wait for nobody. It must keep no
// part of the records.
type Tap func(output string, records []record.Record, taken func(i int) bool)

// SetTap shows batches to t from now on, to nobody if it is nil. While there is no tap it costs one load a batch.
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
