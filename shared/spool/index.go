// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/stream"
)

// Std is the one of a container's two output streams that bytes come from.
type Std = stream.Std

// The output streams.
const (
	Stdout = stream.Stdout
	Stderr = stream.Stderr
)

// A raw log has an index beside each segment, SEGMENT.idx, with an entry for each chunk:
//
//	offset   uint64  of the chunk's first byte in the log
//	time     int64   when it was read, in ns since 1970
//	std      uint8   and three zero bytes
//	checksum uint32  CRC-32 of what precedes it
//
// Numbers are little-endian. An entry is written before the bytes that it describes, and overwritten as long as none have come,
// so that bytes always have one, whenever the process is killed. If a checksum is wrong, which only a crash of the machine
// causes, the chunk before it extends over the damaged entry's.
const (
	indexSuffix  = ".idx"
	indexEntry   = 24
	checkedBytes = indexEntry - 4
	// chunkTime is how long bytes of one stream belong to the same chunk, and so the precision of a record's time.
	chunkTime = 10 * time.Millisecond
	// maxChunks bounds the index of a segment: single bytes of both streams in turn would otherwise make an index of 96 MiB for
	// a segment of 4 MiB.
	maxChunks = 1 << 16
)

// indexWriter appends to the index of the last segment. It belongs to the goroutine that captures.
type indexWriter struct {
	file   *os.File
	base   int64        // of the segment
	chunks int64        // number of entries that describe bytes
	last   stream.Chunk // the last of them; End is not set
	next   stream.Chunk // the entry after it, which describes no bytes yet
}

func indexName(segment string) string {
	return strings.TrimSuffix(segment, segmentSuffix) + indexSuffix
}

// describe makes the index describe bytes at offset at as coming from std at the time now. fresh reports whether that took a new
// entry. If so, the caller calls count once bytes have come.
func (w *indexWriter) describe(d *disk, g *segment, at int64, std Std, now int64) (fresh bool, err error) {
	if w.file == nil || w.base != g.base {
		if err := w.open(g); err != nil {
			return false, err
		}
	}
	if w.chunks > 0 && w.last.Std == std && now-w.last.Time < int64(chunkTime) && now >= w.last.Time {
		return false, nil
	}
	var e [indexEntry]byte
	binary.LittleEndian.PutUint64(e[:], uint64(at))
	binary.LittleEndian.PutUint64(e[8:], uint64(now))
	e[16] = byte(std)
	binary.LittleEndian.PutUint32(e[checkedBytes:], crc32.ChecksumIEEE(e[:checkedBytes]))
	if _, err := d.write(w.file, e[:], w.chunks*indexEntry); err != nil {
		return false, fmt.Errorf("%s: %w", w.file.Name(), err)
	}
	w.next = stream.Chunk{Std: std, Time: now}
	return true, nil
}

// count keeps the entry that describe wrote, because bytes have come.
func (w *indexWriter) count() {
	w.chunks++
	w.last = w.next
}

// open opens the index of g. Entries of an earlier process whose bytes never came will be overwritten.
func (w *indexWriter) open(g *segment) error {
	w.close()
	f, err := os.OpenFile(indexName(g.name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	w.file, w.base, w.chunks = f, g.base, st.Size()/indexEntry
	for w.chunks > 0 {
		off, _, ok := readEntry(f, w.chunks-1)
		if ok && off < g.end() {
			break
		}
		w.chunks--
	}
	w.last = stream.Chunk{} // the next bytes begin a new chunk
	return nil
}

// full reports whether the index of g has as many entries as it may have.
func (w *indexWriter) full(g *segment) bool {
	return w.file != nil && w.base == g.base && w.chunks >= maxChunks
}

func (w *indexWriter) close() {
	if w.file != nil {
		w.file.Close()
		w.file = nil
	}
}

// readEntry reads entry i. ok is false if it can't be read or is damaged.
func readEntry(f *os.File, i int64) (off int64, c stream.Chunk, ok bool) {
	var e [indexEntry]byte
	if _, err := f.ReadAt(e[:], i*indexEntry); err != nil {
		return 0, c, false
	}
	return decodeEntry(e[:])
}

func decodeEntry(e []byte) (off int64, c stream.Chunk, ok bool) {
	off = int64(binary.LittleEndian.Uint64(e[:]))
	c = stream.Chunk{Std: Std(e[16]), Time: int64(binary.LittleEndian.Uint64(e[8:]))}
	ok = binary.LittleEndian.Uint32(e[checkedBytes:]) == crc32.ChecksumIEEE(e[:checkedBytes]) && off >= 0 &&
		(c.Std == Stdout || c.Std == Stderr)
	return off, c, ok
}

// Chunk implements stream.Chunked for a raw log.
func (v *View) Chunk(off int64) (stream.Chunk, error) {
	c, err := v.known.chunk(v.log, off)
	if at := v.log.lineEnd.Load(); off < at && at <= c.End {
		c.End, c.EndsLine = at, true
	}
	return c, err
}

// EndLine ends an unfinished line at offset at, because the container that wrote it has ended. What comes after at begins a new
// line. This is not stored.
func (l *Log) EndLine(at int64) { l.lineEnd.Store(at) }

// knownChunks caches consecutive chunks that were read from an index at once: if a container writes to both streams in turn,
// there is one every few bytes.
type knownChunks struct {
	chunks []knownChunk // ascending
	at     int          // index of the one that was found last
}

type knownChunk struct {
	from int64
	stream.Chunk
}

// chunk returns the chunk of l that off lies in.
func (k *knownChunks) chunk(l *Log, off int64) (stream.Chunk, error) {
	if c, ok := k.find(off); ok {
		return c, nil
	}
	return l.chunk(off, k)
}

// find returns the chunk that off lies in, if it is cached and its end is known.
func (k *knownChunks) find(off int64) (stream.Chunk, bool) {
	for i := k.at; i < len(k.chunks) && k.chunks[i].from <= off; i++ {
		if off < k.chunks[i].End && k.chunks[i].End != math.MaxInt64 {
			k.at = i
			return k.chunks[i].Chunk, true
		}
	}
	return stream.Chunk{}, false
}

// read caches the valid ones of the entries from first up to n, at most 64.
func (k *knownChunks) read(f *os.File, first, n int64) {
	const most = 64
	var block [most * indexEntry]byte
	size, _ := f.ReadAt(block[:min(n-first, most)*indexEntry], first*indexEntry)
	k.chunks, k.at = k.chunks[:0], 0
	for e := block[:size]; len(e) >= indexEntry; e = e[indexEntry:] {
		off, c, ok := decodeEntry(e[:indexEntry])
		if !ok {
			continue
		}
		if last := len(k.chunks) - 1; last >= 0 {
			k.chunks[last].End = off
		}
		c.End = math.MaxInt64
		k.chunks = append(k.chunks, knownChunk{off, c})
	}
}

func (l *Log) chunk(off int64, known *knownChunks) (stream.Chunk, error) {
	segs := *l.segments.Load()
	i := segmentAt(segs, off)
	if i < 0 || off >= segs[i].end() {
		return stream.Chunk{}, fmt.Errorf("%s: bytes at %d are in no segment", l.dir, off)
	}
	unknown := stream.Chunk{Std: Stdout, End: segs[i].end()}
	f, err := os.Open(indexName(segs[i].name))
	if errors.Is(err, fs.ErrNotExist) {
		return unknown, nil
	}
	if err != nil {
		return stream.Chunk{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return stream.Chunk{}, err
	}
	n := st.Size() / indexEntry
	first, c, ok := findChunk(f, n, off)
	if !ok {
		return unknown, nil
	}
	known.read(f, first, n)
	if i+1 < len(segs) {
		c.End = min(c.End, segs[i+1].base)
	}
	return c, nil
}

// findChunk finds the chunk that off lies in among n entries, and the index of its entry. A chunk extends over damaged entries
// after it.
func findChunk(f *os.File, n, off int64) (entry int64, found stream.Chunk, ok bool) {
	after := int64(sort.Search(int(n), func(i int) bool {
		for at := int64(i); at >= 0; at-- {
			if start, _, ok := readEntry(f, at); ok {
				return start > off
			}
		}
		return false
	}))
	for at := after - 1; at >= 0; at-- {
		if _, c, ok := readEntry(f, at); ok {
			c.End = math.MaxInt64
			for next := after; next < n; next++ {
				if start, _, ok := readEntry(f, next); ok && start > off {
					c.End = start
					break
				}
			}
			return at, c, true
		}
	}
	return 0, stream.Chunk{}, false
}
