// SPDX-License-Identifier: Apache-2.0

// Package fingerprint proves that a file holds the bytes that were seen before, by a hash of its beginning and by the bytes just
// before an offset. A Mark stores both across restarts.
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
	// HeadSize is the number of bytes at a file's beginning that prove its identity.
	HeadSize = 1 << 10
	tailSize = 64 // bytes before an offset that prove it too
)

// Head is the hash of the first N bytes of a file, at most HeadSize. The zero Head proves nothing.
type Head struct {
	N   int
	sum uint64
}

// Proof holds up to tailSize bytes before the offset At. The zero Proof proves nothing.
type Proof struct {
	At    int64
	n     int
	bytes [tailSize]byte
}

// Mark identifies a file that was read up to Off.
type Mark struct {
	Dev, Ino uint64
	Birth    int64 // ns since 1970, 0 if it is not known
	ModTime  int64 // when the file was last seen to be written, in ns since 1970
	Off      int64
	Size     int64 // size as last seen; more than Off if there was a backlog
	Head     Head
	// Tail is the hash of the bytes before Off. If the file is compressed, it is that of the compressed bytes before Size, or 0
	// in marks of earlier versions.
	Tail   uint64
	Packed bool   // the file is compressed; Size is its compressed size
	Path   string // where it was first seen: the source of its records
	Unused int64  // Unix time since when no declaration asks for the position; 0 while one does
}

// Version is the first byte of each encoded Mark.
const Version = 1

// Bits of the second byte of an encoded Mark.
const (
	markPacked = 1 << iota
	markUnused // Unused follows the other numbers
)

// Encode encodes the mark for the checkpoint store.
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

// Decode decodes what Encode of this or an earlier version returned.
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

// Holds reports whether c begins as the file did when the mark was made, and has the same bytes before the mark's offset.
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

// Holds reports whether c begins with the bytes that h is the hash of.
func (h Head) Holds(c io.ReaderAt) (bool, error) {
	got, err := HeadOf(c, h.N)
	return got == h, err
}

// HeadOf returns the Head of the first n bytes of c, or of fewer if c is shorter. n is at most HeadSize.
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

// ProofAt returns the Proof of the bytes before off. If c ends before off, the Proof is not Whole.
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

// Whole reports whether the proof has all bytes that it needs.
func (p *Proof) Whole() bool { return p.n == int(min(p.At, tailSize)) }

// Hash returns the hash that a Mark stores of the proof.
func (p *Proof) Hash() uint64 { return hash(p.bytes[:p.n]) }

// Holds reports whether c has the proof's bytes before the offset At.
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

// Extend makes p the proof at the end of data, which was read at off, if that is beyond At.
func (p *Proof) Extend(data []byte, off int64) {
	end := off + int64(len(data))
	if end <= p.At {
		return
	}
	fresh := min(len(data), tailSize)
	kept := 0
	if off <= p.At { // keep p's bytes before the fresh ones
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

// hash returns a quarter of a SHA-256: an application can't construct bytes with the hash of what it wrote before.
func hash(p []byte) uint64 {
	sum := sha256.Sum256(p)
	return binary.LittleEndian.Uint64(sum[:])
}
