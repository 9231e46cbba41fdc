// SPDX-License-Identifier: Apache-2.0

// Package fingerprint proves that bytes are those that were seen before: by a hash of how they begin, and by those just
// before an offset. A Mark carries both across restarts.
package fingerprint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// HeadSize is how many bytes of a file's beginning prove its identity.
	HeadSize = 1 << 10
	tailSize = 64 // bytes before an offset that prove it too
)

// Head is the hash of the first N bytes of a file: of all of it until that is HeadSize. The zero Head proves nothing.
type Head struct {
	N   int
	sum uint64
}

// Proof is the bytes before the offset At, up to tailSize of them. The zero Proof proves nothing.
type Proof struct {
	At    int64
	n     int
	bytes [tailSize]byte
}

// Mark is what must be true of a file for it to be the one that was read up to Off.
type Mark struct {
	Dev, Ino uint64
	Birth    int64 // ns since 1970, 0 where it is not known
	ModTime  int64 // when the file was last written, as far as was seen
	Off      int64
	Size     int64 // bytes seen; more than Off where there was a backlog
	Head     Head
	// Tail is the hash of the bytes before Off; of a compressed file that of the compressed bytes before Size, or 0 in
	// marks of earlier versions.
	Tail   uint64
	Packed bool   // the file is compressed; Size is that of the compressed file
	Path   string // where it was first seen: the source of its records
	Unused int64  // Unix time since when no declaration asks for the position; 0 while one does
}

// Version is the first byte of every encoded Mark.
const Version = 1

// Bits of the second byte of an encoded Mark.
const (
	markPacked = 1 << iota
	markUnused // unused follows the other numbers
)

// Encode writes the mark for the checkpoint store, which holds one for each stream.
func (m *Mark) Encode() []byte {
	b := make([]byte, 0, 96+len(m.Path))
	b = append(b, Version, 0)
	if m.Packed {
		b[1] |= markPacked
	}
	for _, v := range [...]uint64{m.Dev, m.Ino, uint64(m.Birth), uint64(m.ModTime), uint64(m.Off), uint64(m.Size), uint64(m.Head.N)} {
		b = binary.AppendUvarint(b, v)
	}
	if m.Unused != 0 {
		b[1] |= markUnused
		b = binary.AppendUvarint(b, uint64(m.Unused))
	}
	b = binary.LittleEndian.AppendUint64(b, m.Head.sum)
	b = binary.LittleEndian.AppendUint64(b, m.Tail)
	return append(b, m.Path...)
}

// Decode reads what Encode wrote, also by earlier versions.
func Decode(b []byte) (Mark, error) {
	if len(b) < 2 || b[0] != Version || b[1] > markPacked|markUnused {
		return Mark{}, errors.New("not a mark of a file")
	}
	m := Mark{Packed: b[1]&markPacked != 0}
	var v [8]uint64
	numbers := v[:7]
	if b[1]&markUnused != 0 {
		numbers = v[:]
	}
	b = b[2:]
	for i := range numbers {
		n := 0
		if v[i], n = binary.Uvarint(b); n <= 0 {
			return Mark{}, errors.New("torn mark of a file")
		}
		b = b[n:]
	}
	if len(b) < 16 || int64(v[4]) < 0 || v[6] > HeadSize {
		return Mark{}, errors.New("torn mark of a file")
	}
	m.Dev, m.Ino, m.Birth, m.ModTime = v[0], v[1], int64(v[2]), int64(v[3])
	m.Off, m.Size, m.Head.N, m.Unused = int64(v[4]), int64(v[5]), int(v[6]), int64(v[7])
	m.Head.sum, m.Tail = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	m.Path = string(b[16:])
	return m, nil
}

// Holds reports whether c begins as it began when the mark was made, and has the same bytes before the mark's offset.
func (m *Mark) Holds(c io.ReaderAt) (bool, error) {
	same, err := m.Head.Holds(c)
	if !same || m.Off == 0 {
		return same, err
	}
	p, err := ProofAt(c, m.Off)
	if err != nil {
		return false, err
	}
	return p.Whole() && p.Hash() == m.Tail, nil
}

// Holds reports whether c still begins as it did.
func (h Head) Holds(c io.ReaderAt) (bool, error) {
	got, err := HeadOf(c, h.N)
	return got == h, err
}

// HeadOf hashes the first n bytes of c, or fewer where it has fewer.
func HeadOf(c io.ReaderAt, n int) (Head, error) {
	if n == 0 {
		return Head{}, nil
	}
	var buf [HeadSize]byte
	want := n
	n, err := c.ReadAt(buf[:want], 0)
	if n < want && err != nil && !errors.Is(err, io.EOF) {
		return Head{}, fmt.Errorf("read the head: %w", err)
	}
	return Head{n, hash(buf[:n])}, nil
}

// ProofAt reads the bytes before off. Where c ends before off, n is smaller than it should be.
func ProofAt(c io.ReaderAt, off int64) (Proof, error) {
	p := Proof{At: off}
	want := int(min(off, tailSize))
	n, err := c.ReadAt(p.bytes[:want], off-int64(want))
	if err != nil && !errors.Is(err, io.EOF) {
		return p, fmt.Errorf("read before offset %d: %w", off, err)
	}
	p.n = n
	return p, nil
}

// Whole reports whether all bytes that the proof needs were there when it was made.
func (p *Proof) Whole() bool { return p.n == int(min(p.At, tailSize)) }

// Hash returns what a Mark keeps of the proof.
func (p *Proof) Hash() uint64 { return hash(p.bytes[:p.n]) }

// Holds reports whether c still has these bytes at their place.
func (p *Proof) Holds(c io.ReaderAt) (bool, error) {
	if p.n == 0 {
		return true, nil
	}
	var buf [tailSize]byte
	n, err := c.ReadAt(buf[:p.n], p.At-int64(p.n))
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read before offset %d: %w", p.At, err)
	}
	return bytes.Equal(buf[:n], p.bytes[:p.n]), nil
}

// Extend makes p the proof of data, which was read at off, if that reaches further than p does.
func (p *Proof) Extend(data []byte, off int64) {
	end := off + int64(len(data))
	if end <= p.At {
		return
	}
	fresh := min(len(data), tailSize)
	kept := 0
	if off <= p.At { // what p has of the bytes before the fresh ones stays
		first := end - int64(fresh)
		kept = min(p.n-int(p.At-first), tailSize-fresh)
		kept = max(kept, 0)
		from := p.n - int(p.At-first) - kept
		if kept > 0 {
			copy(p.bytes[:], p.bytes[from:from+kept])
		}
	}
	copy(p.bytes[kept:], data[len(data)-fresh:])
	p.n, p.At = kept+fresh, end
}

// hash returns half of a SHA-256: an application can't construct bytes that have the hash of what it wrote before.
func hash(p []byte) uint64 {
	sum := sha256.Sum256(p)
	return binary.LittleEndian.Uint64(sum[:])
}
