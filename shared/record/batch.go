// SPDX-License-Identifier: Apache-2.0

package record

import (
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Batch holds records of one or more sources, in the order of their streams, and the memory that they point into. It is not
// safe for concurrent use: a pipeline fills it, an output reads it, then it is reset and filled again. An output must not
// keep any part of it after Write has returned.
type Batch struct {
	// Records, in order within each stream.
	Records []Record
	// Arena is memory for what is not part of the bytes read: joined lines, fields. Append to it and slice what was
	// appended; earlier slices stay valid when it grows.
	Arena []byte
	// Common, if not nil, is shared by the outputs that are sent exactly these records.
	Common *Common

	raw  []byte // bytes as read from streams; of fixed size, because records point into it
	used int    // bytes at its beginning that were read
	tail int    // bytes at its end that were reserved and committed
}

// NewBatch returns a batch with memory for size bytes read from streams.
func NewBatch(size int) *Batch { return &Batch{raw: make([]byte, size)} }

// Reset empties the batch. Nothing that pointed into it may be used afterwards.
func (b *Batch) Reset() {
	clear(b.Records) // so that the memory of a large arena can be freed
	b.Records, b.used, b.tail = b.Records[:0], 0, 0
	if cap(b.Arena) > 4*len(b.raw) {
		b.Arena = nil
	}
	b.Arena = b.Arena[:0]
}

// Free returns the memory that is left for bytes of streams. The caller reads into its beginning, then calls Keep.
func (b *Batch) Free() []byte { return b.raw[b.used : len(b.raw)-b.tail] }

// Keep makes the first n bytes of Free part of the batch. A negative n frees the last -n bytes that were kept.
func (b *Batch) Keep(n int) { b.used += n }

// Reserve returns n bytes for a long line; Commit makes them part of the batch. They are taken from the end of Free if it
// has room, so that joined lines need no other memory, and else from the arena. The caller must Keep the bytes that it has
// read first.
func (b *Batch) Reserve(n int) []byte {
	if b.fitsBehind(n) {
		end := len(b.raw) - b.tail
		return b.raw[end-n : end : end]
	}
	b.Arena = slices.Grow(b.Arena, n)
	return b.Arena[len(b.Arena) : len(b.Arena)+n : len(b.Arena)+n]
}

// Commit makes the bytes that Reserve(n) returned part of the batch.
func (b *Batch) Commit(n int) {
	if b.fitsBehind(n) {
		b.tail += n
	} else {
		b.Arena = b.Arena[:len(b.Arena)+n]
	}
}

func (b *Batch) fitsBehind(n int) bool { return len(b.raw)-b.tail-b.used >= n }

// Savepoint is a state of a batch that Rollback returns to.
type Savepoint struct{ records, arena, used, tail int }

// Savepoint returns the batch's present state.
func (b *Batch) Savepoint() Savepoint { return Savepoint{len(b.Records), len(b.Arena), b.used, b.tail} }

// Rollback discards what was added since m.
func (b *Batch) Rollback(m Savepoint) {
	clear(b.Records[m.records:])
	b.Records, b.Arena, b.used, b.tail = b.Records[:m.records], b.Arena[:m.arena], m.used, m.tail
}

// Added returns how many bytes, besides those read from streams, were added since m.
func (b *Batch) Added(m Savepoint) int { return len(b.Arena) - m.arena + b.tail - m.tail }

// Grow doubles the memory for bytes of streams. Only an empty batch may grow, because records point into what it has.
func (b *Batch) Grow() { b.raw = make([]byte, 2*len(b.raw)) }

// ReleaseMemory returns the memory of an empty batch to the system. It comes back, page by page, when the batch is
// filled.
func (b *Batch) ReleaseMemory() {
	b.Reset()
	b.Records, b.Arena = nil, nil
	// raw keeps its address: no collection is needed before the memory is free, and no new 4 MiB are zeroed when a single
	// line comes. Pages at its ends that it shares with other memory are left alone.
	page := os.Getpagesize()
	begin := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b.raw)))) & (page - 1)
	if end := begin + (len(b.raw)-begin)&^(page-1); end > begin {
		_ = unix.Madvise(b.raw[begin:end], unix.MADV_DONTNEED) // if it fails the memory stays
	}
}

// Size returns the approximate number of bytes of the records' content. It serves to bound a batch.
func (b *Batch) Size() int { return b.used + b.tail + len(b.Arena) }

// Hold copies p into the arena and returns the copy, which is valid until the batch is reset.
func (b *Batch) Hold(p []byte) []byte {
	at := len(b.Arena)
	b.Arena = append(b.Arena, p...)
	return b.Arena[at:len(b.Arena):len(b.Arena)]
}
