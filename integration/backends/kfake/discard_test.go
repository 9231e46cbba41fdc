// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// batch is n empty records of a producer, from a sequence number on.
func batch(first, n int32, epoch int16) []byte {
	b := kmsg.NewRecordBatch()
	b.Magic, b.ProducerID, b.ProducerEpoch, b.FirstSequence = 2, 7, epoch, first
	b.NumRecords, b.LastOffsetDelta = n, n-1
	for range n {
		b.Records = append(b.Records, 0) // of no bytes
	}
	p := b.AppendTo(nil)
	binary.BigEndian.PutUint32(p[atLength:], uint32(len(p)-atLength-4))
	return sign(p)
}

func sign(p []byte) []byte {
	binary.BigEndian.PutUint32(p[atChecksum:], crc32.Checksum(p[atCodec:], castagnoli))
	return p
}

// What does not follow the last batch is refused, and what came before is not counted again, as Kafka has it.
func TestSequence(t *testing.T) {
	a := &appended{producers: make(map[int64]*history)}
	damaged := batch(5, 1, 0)
	damaged[len(damaged)-1]++
	short := batch(5, 2, 0)
	short = sign(append(short[:len(short)-1], 2)) // says that a byte follows
	for i, step := range []struct {
		p     []byte
		err   *kerr.Error
		total int64
	}{
		{batch(1, 3, 0), kerr.OutOfOrderSequenceNumber, 0},
		{batch(0, 3, 0), nil, 3},
		{batch(0, 3, 0), nil, 3},
		{batch(3, 2, 0), nil, 5},
		{batch(0, 3, 0), nil, 5},
		{batch(0, 2, 0), kerr.OutOfOrderSequenceNumber, 5},
		{batch(6, 2, 0), kerr.OutOfOrderSequenceNumber, 5},
		{damaged, kerr.CorruptMessage, 5},
		{short, kerr.InvalidRecord, 5},
		{damaged[:20], kerr.CorruptMessage, 5},
		{batch(0, 1, 1), nil, 6},
		{batch(5, 1, 0), kerr.InvalidProducerEpoch, 6},
	} {
		if err := a.take(step.p); err != step.err || a.records != step.total {
			t.Fatalf("step %d: %v, %d records", i, err, a.records)
		}
	}
}

// One that was sent again is known among the last five batches only.
func TestRemembersFiveBatches(t *testing.T) {
	a := &appended{producers: make(map[int64]*history)}
	for i := range int32(6) {
		if err := a.take(batch(i, 1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.take(batch(1, 1, 0)); err != nil || a.records != 6 {
		t.Fatal(err, a.records)
	}
	if err := a.take(batch(0, 1, 0)); err != kerr.OutOfOrderSequenceNumber {
		t.Fatal(err)
	}
}
