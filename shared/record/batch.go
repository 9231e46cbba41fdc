package record

// Batch is records of one or more sources, in the order of their streams, with the memory they point into. It is used by
// one goroutine at a time: a pipeline fills it, an output reads it, then it is reset and filled again. An output may not
// keep anything of it after Write has returned.
type Batch struct {
	// Records, in order within each stream.
	Records []Record
	// Arena is memory for what does not stand in the bytes read: joined lines, fields. Append to it and slice what was
	// appended; earlier slices stay valid when it grows.
	Arena []byte

	raw  []byte // bytes as read from streams; of fixed size, because records point into it
	used int
}

// NewBatch makes a batch that holds up to size bytes as read from streams.
func NewBatch(size int) *Batch { return &Batch{raw: make([]byte, size)} }

// Reset empties the batch. Nothing that pointed into it may be used afterwards.
func (b *Batch) Reset() {
	clear(b.Records) // so that memory of a large arena can go
	b.Records, b.used = b.Records[:0], 0
	if cap(b.Arena) > 4*len(b.raw) {
		b.Arena = nil
	}
	b.Arena = b.Arena[:0]
}

// Free is the memory that is left for bytes of streams: read into its beginning, then Keep.
func (b *Batch) Free() []byte { return b.raw[b.used:] }

// Keep makes the first n bytes of Free part of the batch.
func (b *Batch) Keep(n int) { b.used += n }

// Grow doubles the memory for bytes of streams. Only an empty batch may grow, because records point into what it has.
func (b *Batch) Grow() { b.raw = make([]byte, 2*len(b.raw)) }

// Size is how many bytes of memory the records' content takes up, near enough to bound a batch by it.
func (b *Batch) Size() int { return b.used + len(b.Arena) }

// Hold copies p into the arena and returns the copy, which lives as long as the batch's content.
func (b *Batch) Hold(p []byte) []byte {
	at := len(b.Arena)
	b.Arena = append(b.Arena, p...)
	return b.Arena[at:len(b.Arena):len(b.Arena)]
}
