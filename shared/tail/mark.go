// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	headSize = 1 << 10 // bytes of a file's beginning that prove its identity
	tailSize = 64      // bytes before an offset that prove it too
)

// content is what a stream's bytes are read from: an open file, or what a compressed one expands to.
type content interface {
	io.ReaderAt
	io.Closer
}

// head is the hash of the beginning of a file: of all of it until that is headSize.
type head struct {
	n   int
	sum uint64
}

// proof is the bytes before an offset, up to tailSize of them.
type proof struct {
	at    int64
	n     int
	bytes [tailSize]byte
}

// mark is what has to be true of a file for it to be the one that was read up to off.
type mark struct {
	id     inode
	btime  int64
	mtime  int64 // when the file was last written, as far as was seen
	off    int64
	size   int64 // bytes seen; more than off where there was a backlog
	head   head
	tail   uint64 // hash of the bytes before off
	packed bool   // the file is compressed; size is that of the compressed file
	path   string // where it was first seen: the record's source
	unused int64  // Unix time since when no declaration asks for the position; 0 while one does
}

const markVersion = 1

// What the second byte of a mark may say.
const (
	markPacked = 1 << iota
	markUnused // unused follows the other numbers
)

// encode writes the mark for the checkpoint store, which holds one for each stream.
func (m *mark) encode() []byte {
	b := make([]byte, 0, 96+len(m.path))
	b = append(b, markVersion, 0)
	if m.packed {
		b[1] |= markPacked
	}
	for _, v := range [...]uint64{m.id.dev, m.id.ino, uint64(m.btime), uint64(m.mtime), uint64(m.off), uint64(m.size), uint64(m.head.n)} {
		b = binary.AppendUvarint(b, v)
	}
	if m.unused != 0 {
		b[1] |= markUnused
		b = binary.AppendUvarint(b, uint64(m.unused))
	}
	b = binary.LittleEndian.AppendUint64(b, m.head.sum)
	b = binary.LittleEndian.AppendUint64(b, m.tail)
	return append(b, m.path...)
}

func decodeMark(b []byte) (mark, error) {
	if len(b) < 2 || b[0] != markVersion || b[1] > markPacked|markUnused {
		return mark{}, errors.New("no mark of a file")
	}
	m := mark{packed: b[1]&markPacked != 0}
	var v [8]uint64
	numbers := v[:7]
	if b[1]&markUnused != 0 {
		numbers = v[:]
	}
	b = b[2:]
	for i := range numbers {
		n := 0
		if v[i], n = binary.Uvarint(b); n <= 0 {
			return mark{}, errors.New("torn mark of a file")
		}
		b = b[n:]
	}
	if len(b) < 16 || int64(v[4]) < 0 || v[6] > headSize {
		return mark{}, errors.New("torn mark of a file")
	}
	m.id, m.btime, m.mtime = inode{v[0], v[1]}, int64(v[2]), int64(v[3])
	m.off, m.size, m.head.n, m.unused = int64(v[4]), int64(v[5]), int(v[6]), int64(v[7])
	m.head.sum, m.tail = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	m.path = string(b[16:])
	return m, nil
}

// holds tells whether c begins as it began when the mark was made, and has the same bytes before the mark's offset.
func (m *mark) holds(c io.ReaderAt) (bool, error) {
	same, err := m.head.holds(c)
	if !same || m.off == 0 {
		return same, err
	}
	p, err := proofAt(c, m.off)
	if err != nil {
		return false, err
	}
	return p.n == int(min(m.off, tailSize)) && p.hash() == m.tail, nil
}

// holds tells whether c still begins as it did.
func (h head) holds(c io.ReaderAt) (bool, error) {
	got, err := headOf(c, h.n)
	return got == h, err
}

// headOf hashes the first n bytes of c, or fewer where it has fewer.
func headOf(c io.ReaderAt, n int) (head, error) {
	if n == 0 {
		return head{}, nil
	}
	var buf [headSize]byte
	n, err := c.ReadAt(buf[:n], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return head{}, fmt.Errorf("read the head: %w", err)
	}
	return head{n, hash(buf[:n])}, nil
}

// proofAt reads the bytes before off. Where c ends before off, n is smaller than it should be.
func proofAt(c io.ReaderAt, off int64) (proof, error) {
	p := proof{at: off}
	want := int(min(off, tailSize))
	n, err := c.ReadAt(p.bytes[:want], off-int64(want))
	if err != nil && !errors.Is(err, io.EOF) {
		return p, fmt.Errorf("read before offset %d: %w", off, err)
	}
	p.n = n
	return p, nil
}

func (p *proof) hash() uint64 { return hash(p.bytes[:p.n]) }

// holds tells whether c still has these bytes at their place.
func (p *proof) holds(c io.ReaderAt) (bool, error) {
	if p.n == 0 {
		return true, nil
	}
	var buf [tailSize]byte
	n, err := c.ReadAt(buf[:p.n], p.at-int64(p.n))
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read before offset %d: %w", p.at, err)
	}
	return bytes.Equal(buf[:n], p.bytes[:p.n]), nil
}

// extend makes p the proof of data, which was read at off, if that reaches further than p does.
func (p *proof) extend(data []byte, off int64) {
	end := off + int64(len(data))
	if end <= p.at {
		return
	}
	fresh := min(len(data), tailSize)
	kept := 0
	if off <= p.at { // what p has of the bytes before the fresh ones stays
		first := end - int64(fresh)
		kept = min(p.n-int(p.at-first), tailSize-fresh)
		kept = max(kept, 0)
		from := p.n - int(p.at-first) - kept
		if kept > 0 {
			copy(p.bytes[:], p.bytes[from:from+kept])
		}
	}
	copy(p.bytes[kept:], data[len(data)-fresh:])
	p.n, p.at = kept+fresh, end
}

// hash is half of a SHA-256: an application can't choose what it writes to look like what it wrote before.
func hash(p []byte) uint64 {
	sum := sha256.Sum256(p)
	return binary.LittleEndian.Uint64(sum[:])
}
