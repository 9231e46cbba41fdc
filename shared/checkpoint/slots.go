// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/mapped"
)

// Positions are committed at most once a second. What was acknowledged since the last commit would be delivered again after
// the process was killed, so each acknowledgement is also written to a slot in a mapped file, which the kernel keeps. That
// costs a few stores to memory and no sync. After a crash of the machine the slots are invalid, because parked records that
// they are past may not be on disk. The file therefore names the boot in which it was written.
//
// The file is an array of slots, the first of which holds the boot. A slot is the hash of its key and two positions that are
// written alternately, each with a checksum, so that a kill during a write leaves the other one.
const (
	slotSize      = 64
	hashSize      = 16
	positionSize  = 24 // Low, Done, checksum
	slotsPerChunk = 64 * 1024 / slotSize
	maxChunks     = 64 // 64 Ki feeds; more have no slot and rely on commits

	// slotsVersion follows the boot in the first slot; 0 stands for 1. Slots of a newer version are not read: what was
	// acknowledged after the last commit is then delivered again.
	slotsVersion = 1
)

// slots is the file of slots.
type slots struct {
	mu     sync.Mutex
	file   *os.File
	chunks [][]byte
	free   []*Slot
	// unmapped is the file if it can't be mapped; nil otherwise.
	unmapped *os.File
}

// Slot holds a feed's position, which is written at each acknowledgement. A nil Slot writes nothing. A Slot is not safe for
// concurrent use.
type Slot struct {
	mem  []byte
	odd  bool     // which of the two positions is written next
	file *os.File // the file that mem is written to, at offset at; nil if mem is mapped
	at   int64
}

// Set writes the position.
func (s *Slot) Set(p Position) {
	if s == nil {
		return
	}
	at := s.mem[hashSize:]
	if s.odd {
		at = at[positionSize:]
	}
	s.odd = !s.odd
	binary.NativeEndian.PutUint64(at[16:], 0) // makes the position invalid until its new checksum is written
	binary.NativeEndian.PutUint64(at, uint64(p.Low))
	binary.NativeEndian.PutUint64(at[8:], uint64(p.Done))
	binary.NativeEndian.PutUint64(at[16:], checksum(s.mem[:hashSize], p))
	s.write()
}

// write writes a slot that is not mapped to the file. If that fails, the file keeps the earlier position, as if the last
// acknowledgement had not come.
func (s *Slot) write() {
	if s.file != nil {
		_, _ = s.file.WriteAt(s.mem, s.at)
	}
}

// checksum returns the checksum of a position. It is never 0.
func checksum(hash []byte, p Position) uint64 {
	const odd = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
	sum := binary.NativeEndian.Uint64(hash)
	for _, v := range [...]uint64{binary.NativeEndian.Uint64(hash[8:]), uint64(p.Low), uint64(p.Done)} {
		sum = (sum ^ v) * odd
		sum ^= sum >> 29
	}
	return sum | 1
}

func (k Key) hash() [hashSize]byte {
	sum := sha256.Sum256(k.bytes())
	return [hashSize]byte(sum[:hashSize])
}

// readSlots returns the positions in the file at path, by the hash of their keys. It returns none if the file was written in
// another boot or by a newer version.
func readSlots(path string, boot [hashSize]byte) (map[[hashSize]byte]Position, error) {
	p, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(p) < slotSize || !bytes.Equal(p[:hashSize], boot[:]) || p[hashSize] > slotsVersion {
		return nil, nil
	}
	found := map[[hashSize]byte]Position{}
	for p = p[slotSize:]; len(p) >= slotSize; p = p[slotSize:] {
		hash := [hashSize]byte(p)
		for _, at := range [][]byte{p[hashSize:], p[hashSize+positionSize:]} {
			pos := Position{int64(binary.NativeEndian.Uint64(at)), int64(binary.NativeEndian.Uint64(at[8:]))}
			valid := binary.NativeEndian.Uint64(at[16:]) == checksum(hash[:], pos) && pos.Low >= 0 && pos.Low <= pos.Done
			if old, ok := found[hash]; valid && (!ok || pos.after(old)) {
				found[hash] = pos
			}
		}
	}
	return found, nil
}

// after reports whether p is later than o, another position of the same feed.
func (p Position) after(o Position) bool { return p.Done > o.Done || p.Done == o.Done && p.Low > o.Low }

// openSlots creates an empty file of slots at path.
func openSlots(path string, boot [hashSize]byte) (*slots, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	s := &slots{file: f}
	if err := s.grow(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	first := s.free[len(s.free)-1] // free slots are in descending order
	s.free = s.free[:len(s.free)-1]
	copy(first.mem, boot[:])
	first.mem[hashSize] = slotsVersion
	first.write()
	return s, nil
}

// grow maps another chunk. If the file system does not support that, slots are written to the file with a system call for
// each acknowledgement instead.
func (s *slots) grow() error {
	const size = slotsPerChunk * slotSize
	if len(s.chunks) >= maxChunks {
		return errors.New("too many feeds")
	}
	at := int64(len(s.chunks)) * size
	mem, err := mapFile(s.file, at, size)
	if errors.Is(err, mapped.ErrCopyOnWrite) {
		mem = make([]byte, size)
		_, err = s.file.WriteAt(mem, at)
		s.unmapped = s.file
	}
	if err != nil {
		return err
	}
	s.chunks = append(s.chunks, mem)
	for i := int64(slotsPerChunk - 1); i >= 0; i-- {
		own := mem[i*slotSize : (i+1)*slotSize : (i+1)*slotSize]
		s.free = append(s.free, &Slot{mem: own, file: s.unmapped, at: at + i*slotSize})
	}
	return nil
}

// mapFile is replaced by tests.
var mapFile = mapped.Map

// take returns a free slot for key; nil if there is none.
func (s *slots) take(key Key) *Slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) == 0 && s.grow() != nil {
		return nil
	}
	slot := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	hash := key.hash()
	copy(slot.mem, hash[:])
	return slot
}

func (s *slots) release(slot *Slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(slot.mem)
	slot.write()
	s.free = append(s.free, slot)
}

func (s *slots) close() error {
	var all []error
	for _, mem := range s.chunks {
		if s.unmapped == nil {
			all = append(all, unix.Munmap(mem))
		}
	}
	return errors.Join(append(all, s.file.Close())...)
}

// bootID returns what identifies this boot of the machine.
var bootID = sync.OnceValue(func() [hashSize]byte {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		text = []byte(fmt.Sprint(os.Getpid())) // differs from earlier processes', so that their slots are not used
	}
	sum := sha256.Sum256(text)
	return [hashSize]byte(sum[:hashSize])
})

// recoverSlots moves to the store those positions of a killed process that are later in the slots, and creates new slots.
func (s *Store) recoverSlots() error {
	path := s.path + ".slots"
	found, err := readSlots(path, bootID())
	if err != nil {
		return err
	}
	put := map[Key]Entry{}
	err = s.Each(func(k Key, e Entry) {
		hash := k.hash()
		if pos, ok := found[hash]; ok {
			delete(found, hash)
			if pos.after(e.Position) {
				e.Position = pos
				put[k] = e
			}
		}
	})
	if err == nil {
		err = s.Commit(put, nil)
	}
	if err != nil {
		return err
	}
	s.early = found
	s.slots, err = openSlots(path, bootID())
	return err
}

// Slot returns the slot to which the position at key is written at each acknowledgement between commits; nil if there is
// none. The caller returns it with Release.
func (s *Store) Slot(key Key) *Slot {
	if s.slots == nil {
		return nil
	}
	return s.slots.take(key)
}

// Release returns a slot whose position is committed, or no longer needed.
func (s *Store) Release(slot *Slot) {
	if slot != nil {
		s.slots.release(slot)
	}
}

// earlier returns the position from a killed process's slot for a key that was never committed.
func (s *Store) earlier(key Key) (Position, bool) {
	s.earlyMu.Lock()
	defer s.earlyMu.Unlock()
	if len(s.early) == 0 {
		return Position{}, false
	}
	pos, ok := s.early[key.hash()]
	return pos, ok
}

// settleEarly drops the early positions of keys that are now committed or forgotten.
func (s *Store) settleEarly(put map[Key]Entry, forget []Key) {
	s.earlyMu.Lock()
	defer s.earlyMu.Unlock()
	if len(s.early) == 0 {
		return
	}
	for k := range put {
		delete(s.early, k.hash())
	}
	for _, k := range forget {
		delete(s.early, k.hash())
	}
}
