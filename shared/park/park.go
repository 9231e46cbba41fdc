// SPDX-License-Identifier: Apache-2.0

// Package park keeps records on disk that a backend does not accept for now because of where they go: a line for
// yesterday's index, which is closed. Their streams continue; the records are retried on their own.
//
// Records are appended to segment files of bounded size, a series of them for each output and group of containers. A
// segment is retried as a whole, rewritten with what is left, and filled again. The files are bounded together. If there
// is no room for a new record, the group that has most gives up its oldest segment: who parks much does not evict others'
// records.
package park

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/record"
)

const (
	// suffix of a segment's file. The name is SEQUENCE-GROUP-OUTPUT.park.
	suffix = ".park"
	// badSuffix follows it in the name of a file that can't be read as a whole. Of these files the newest are kept, as many
	// as would fit into the store, and maxBad at most.
	badSuffix = ".bad"
	maxBad    = 256
	// groups is how many groups containers are divided into, by a hash of their name.
	groups = 64
	// segments is about how many segments a full store has. What makes room for a new record is one of them.
	segments = 64
	// leastCharge is what a segment counts for at least in the limit: a file takes up a block and an inode.
	leastCharge = 4 << 10
	// firstPause is how long a segment rests before its first retry, and twice as long after each further one.
	firstPause = time.Second
)

// Store is the parked records of all outputs. It is safe for concurrent use.
type Store struct {
	dir   string
	limit int64 // bytes on disk, of all segments
	pause time.Duration

	mu       sync.Mutex
	segments []*Segment // the oldest first
	size     int64      // of the segments' entries
	charged  int64      // of the limit: see charge
	sequence uint64
	buffer   []byte
	damaged  int64 // bytes
	newer    int64
	removed  int64 // files
	unsynced bool

	fsync func(*os.File) error // (*os.File).Sync, except in tests
}

// Open opens the store in dir, which it makes when the first record is parked. limit bounds the bytes on disk; maxPause
// the time between two retries of a record. It reads every stored record once: each is called for all of them, the
// oldest first. What is damaged, or of another version, stays in a file of its own, *.bad; these files are bounded as the
// store is.
func Open(dir string, limit int64, maxPause time.Duration, each func(output string, e *Entry)) (*Store, error) {
	s := &Store{dir: dir, limit: limit, pause: maxPause, fsync: (*os.File).Sync}
	files, err := os.ReadDir(dir) // sorted by name, and so by age
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("parked records: %w", err)
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".tmp") {
			_ = os.Remove(filepath.Join(dir, f.Name())) // of an interrupted rewrite; the segment itself is whole
			continue
		}
		number, group, output, ok := parseName(f.Name())
		if !ok {
			continue
		}
		seg := &Segment{store: s, name: f.Name(), group: group, output: output}
		entries, of, err := seg.read()
		if err != nil {
			return nil, fmt.Errorf("parked records: %w", err)
		}
		s.sequence = max(s.sequence, number)
		s.damaged += of.damaged
		s.newer += of.newer
		if len(entries) == 0 {
			if err := s.discard(seg, of); err != nil {
				return nil, fmt.Errorf("parked records: %w", err)
			}
			continue
		}
		s.add(seg)
		if of.unread() > 0 {
			if err := seg.preserve(); err != nil {
				return nil, fmt.Errorf("parked records: %w", err)
			}
		}
		if of.unread() == 0 || s.compact(seg) != nil { // it is rewritten later then
			s.resize(seg, of.size)
		}
		for i := range entries {
			each(output, &entries[i])
		}
	}
	if err := s.pruneBad(); err != nil {
		return nil, fmt.Errorf("parked records: %w", err)
	}
	return s, nil
}

// pruneBad removes the oldest of the files that can't be read, while they exceed their bounds. Under mu, or before s is used.
func (s *Store) pruneBad() error {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	count, charged := 0, int64(0)
	for _, f := range slices.Backward(files) { // the newest first
		if !strings.HasSuffix(f.Name(), suffix+badSuffix) {
			continue
		}
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		count, charged = count+1, charged+charge(info.Size())
		if count <= maxBad && charged <= s.limit {
			continue
		}
		if err := os.Remove(filepath.Join(s.dir, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		s.removed++
	}
	return nil
}

// discard removes a segment without entries, or renames it if it holds what can't be read.
func (s *Store) discard(seg *Segment, of found) error {
	if of.unread() == 0 {
		return os.Remove(seg.path())
	}
	return os.Rename(seg.path(), seg.path()+badSuffix)
}

func nameOf(number uint64, group uint32, output string) string {
	return fmt.Sprintf("%016x-%02x-%s%s", number, group, output, suffix)
}

func parseName(name string) (number uint64, group uint32, output string, ok bool) {
	parts := strings.SplitN(strings.TrimSuffix(name, suffix), "-", 3)
	if len(parts) != 3 {
		return 0, 0, "", false
	}
	number, err := strconv.ParseUint(parts[0], 16, 64)
	if err != nil {
		return 0, 0, "", false
	}
	g, err := strconv.ParseUint(parts[1], 16, 32)
	return number, uint32(g), parts[2], err == nil && g < groups && name == nameOf(number, uint32(g), parts[2])
}

// groupOf returns the group of a source's container, or of its declaration if the container is not known.
func groupOf(s *record.Source) uint32 {
	owner := s.Container()
	if owner == "" {
		owner = s.Declaration
	}
	return crc32.ChecksumIEEE([]byte(owner)) % groups
}

// Append parks a record for output. It is written when Append returns, and survives the death of this process; after
// Sync it survives that of the machine. If the store is full, older records make room: evicted is called with
// them before Append returns. An error means that the record is not parked.
func (s *Store) Append(output string, e *Entry, now time.Time, evicted func(output string, all []Entry)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buffer = appendEntry(s.buffer[:0], e)
	n := int64(len(s.buffer))
	if n > s.limit {
		return fmt.Errorf("a record of %d bytes is larger than all that may be parked (%d)", n, s.limit)
	}
	group := groupOf(e.Record.Source)
	for s.charged+s.growth(s.unfilled(output, group), n) > s.limit {
		if err := s.evict(evicted); err != nil {
			return err
		}
		s.buffer = appendEntry(s.buffer[:0], e) // the lock was given up
	}
	return s.write(output, group, s.buffer, now)
}

// charge returns what a segment of size bytes counts for in the limit.
func charge(size int64) int64 { return max(size, leastCharge) }

// growth returns what n more bytes in a segment, nil for a new one, add to what is charged.
func (s *Store) growth(seg *Segment, n int64) int64 {
	if seg == nil {
		return charge(n)
	}
	return charge(seg.size+n) - charge(seg.size)
}

// add adds an empty segment. Under mu.
func (s *Store) add(seg *Segment) {
	s.segments = append(s.segments, seg)
	s.charged += charge(0)
}

// resize notes a segment's size. Under mu.
func (s *Store) resize(seg *Segment, size int64) {
	s.size += size - seg.size
	s.charged += charge(size) - charge(seg.size)
	seg.size = size
}

// drop takes a segment off the list. Under mu.
func (s *Store) drop(seg *Segment) {
	seg.close()
	s.resize(seg, 0)
	s.charged -= charge(0)
	s.segments = slices.DeleteFunc(s.segments, func(other *Segment) bool { return other == seg })
}

// write appends p to the segment of output and group that is not full, or to a new one. Under mu.
func (s *Store) write(output string, group uint32, p []byte, now time.Time) error {
	seg := s.unfilled(output, group)
	if seg == nil {
		s.sequence++
		seg = &Segment{store: s, name: nameOf(s.sequence, group, output), group: group, output: output, due: now.Add(min(firstPause, s.pause))}
		if err := os.MkdirAll(s.dir, 0o700); err != nil {
			return err
		}
	}
	if err := seg.append(p); err != nil {
		if seg.size == 0 {
			seg.close()
			_ = os.Remove(seg.path())
		}
		return err
	}
	if seg.size == 0 {
		s.add(seg)
	}
	s.resize(seg, seg.size+int64(len(p)))
	s.unsynced = true
	return nil
}

// unfilled returns the newest segment of output and group to which records can be appended; nil if there is none. A new
// one is made only then, so that all but a few of a group's segments were full once. Under mu.
func (s *Store) unfilled(output string, group uint32) *Segment {
	for _, seg := range slices.Backward(s.segments) {
		if seg.output == output && seg.group == group && !seg.taken && seg.size < max(s.limit/segments, leastCharge) {
			return seg
		}
	}
	return nil
}

// evict removes the oldest segment that is not being retried, of the group that has most. Under mu, which it gives up
// while evicted decides on the records: they are on disk until it has.
func (s *Store) evict(evicted func(output string, all []Entry)) error {
	var sizes [groups]int64
	for _, seg := range s.segments {
		sizes[seg.group] += seg.size
	}
	i := -1
	for at, seg := range s.segments {
		if !seg.taken && (i < 0 || sizes[seg.group] > sizes[s.segments[i].group]) {
			i = at
		}
	}
	if i < 0 {
		return errors.New("the store is full, and all of it is being retried")
	}
	seg := s.segments[i]
	entries, err := seg.undecided()
	if err != nil {
		return err
	}
	seg.taken = true
	s.mu.Unlock()
	if len(entries) > 0 {
		evicted(seg.output, entries)
	}
	s.mu.Lock()
	seg.taken = false
	seg.decide(nil, entries)
	return s.remove(seg)
}

// remove deletes a segment. Under mu.
func (s *Store) remove(seg *Segment) error {
	if err := os.Remove(seg.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.drop(seg)
	return nil
}

// Sync makes what was parked durable against the death of the machine. A checkpoint may move past parked records only
// after it. Records can be parked meanwhile: disks take their time.
func (s *Store) Sync() error {
	s.mu.Lock()
	if !s.unsynced {
		s.mu.Unlock()
		return nil
	}
	s.unsynced = false
	var dirty []*Segment
	var files []*os.File
	for _, seg := range s.segments {
		if seg.dirty {
			dirty, files = append(dirty, seg), append(files, seg.file)
			seg.dirty = false
		}
	}
	s.mu.Unlock()
	var err error
	for i, seg := range dirty {
		err = errors.Join(err, s.syncSegment(seg, files[i]))
	}
	if failed := syncDir(s.dir); failed != nil {
		err = errors.Join(err, failed, s.restore())
	}
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.unsynced = true
		return fmt.Errorf("parked records: %w", err)
	}
	return nil
}

// syncSegment syncs a segment's file. After a sync that failed the kernel takes what it could not write for written, so
// another sync means nothing: the entries are written to a new file then.
func (s *Store) syncSegment(seg *Segment, file *os.File) error {
	err := s.fsync(file)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case seg.file != file:
		return nil // it was rewritten, which includes a sync, or removed
	case err == nil && !seg.lost:
		if seg.size >= s.limit/segments && !seg.dirty && !seg.taken {
			seg.close() // it is full
		}
		return nil
	}
	seg.dirty, seg.lost = true, true
	if seg.taken {
		return errors.Join(err, errors.New("a segment that must be rewritten is being retried"))
	}
	return s.compact(seg)
}

// restore makes the directory anew where it was removed, and lets the next Sync write what is still open there again.
func (s *Store) restore() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	for _, seg := range s.segments {
		if _, err := os.Stat(seg.path()); errors.Is(err, fs.ErrNotExist) && seg.file != nil {
			seg.dirty, seg.lost = true, true
		}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Close closes the files.
func (s *Store) Close() error {
	err := s.Sync()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segments {
		seg.close()
	}
	return err
}

// Damaged returns how many bytes Open could not make sense of, usually the end of what was written when the machine died, of
// which no checkpoint knows. Newer returns how many are of another version. The files that hold them are renamed to *.bad.
func (s *Store) Damaged() int64 { return s.damaged }

// Newer returns how many bytes Open found of another version.
func (s *Store) Newer() int64 { return s.newer }

// Removed returns how many *.bad files were removed because there were too many of them.
func (s *Store) Removed() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.removed
}

// Size returns how many bytes the parked records take up on disk.
func (s *Store) Size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}

// Limit returns how many bytes they may take up.
func (s *Store) Limit() int64 { return s.limit }

// Due returns a segment of output that is to be tried again at now, and its records; nil if there is none. The caller
// decides on it with Keep; until then nothing is appended to it. wait is how long it is until a segment will be due, 0 if
// none is known. The error is about segments that could not be read; they rest like others.
func (s *Store) Due(output string, now time.Time) (seg *Segment, entries []Entry, wait time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range slices.Clone(s.segments) {
		if seg.output != output || seg.taken {
			continue
		}
		if rest := seg.due.Sub(now); rest > 0 {
			if wait == 0 || rest < wait {
				wait = rest
			}
			continue
		}
		entries, failed := seg.undecided()
		if failed == nil && len(entries) > 0 {
			seg.taken = true
			return seg, entries, 0, err
		}
		if failed == nil {
			failed = s.remove(seg) // all of it was decided on
		}
		if failed != nil {
			if errors.Is(failed, fs.ErrNotExist) {
				s.drop(seg) // somebody has removed it
			}
			seg.postpone(now)
			err = errors.Join(err, fmt.Errorf("parked records: %w", failed))
			wait = firstPause
		}
	}
	return nil, nil, wait, err
}
