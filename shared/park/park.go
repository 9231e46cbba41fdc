// SPDX-License-Identifier: Apache-2.0

// Package park keeps records on disk that a backend does not accept for now because of where they go: a line for
// yesterday's index, which is closed. Their streams continue; the records are retried on their own.
//
// Records are appended to segment files of bounded size, a series of them for each output and group of containers. A
// segment is retried as a whole and rewritten with what is left. The files are bounded together. If there is no room for
// a new record, the group that has most gives up its oldest segment: who parks much does not evict others' records.
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
	// groups is how many groups containers are divided into, by a hash of their name.
	groups = 64
	// segments is about how many segments a full store has. What makes room for a new record is one of them.
	segments = 64
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
	size     int64
	sequence uint64
	buffer   []byte
	damaged  int64
	unsynced bool
}

// Segment is a file of parked records.
type Segment struct {
	store  *Store
	name   string
	output string
	group  uint32
	size   int64
	file   *os.File // while records are appended; nil afterwards
	dirty  bool     // what was appended is not synced
	taken  bool     // by Due or evict, which decide on it
	pauses int
	due    time.Time
}

// Open opens the store in dir, which it makes when the first record is parked. limit bounds the bytes on disk; maxPause
// the time between two retries of a record. It reads every stored record once: each is called for all of them, the
// oldest first. What is damaged ends its segment: an entry is whole or was never acknowledged.
func Open(dir string, limit int64, maxPause time.Duration, each func(output string, e *Entry)) (*Store, error) {
	s := &Store{dir: dir, limit: limit, pause: maxPause}
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
		entries, size, err := seg.read()
		if err != nil {
			return nil, fmt.Errorf("parked records: %w", err)
		}
		s.sequence = max(s.sequence, number)
		if info, err := f.Info(); err == nil {
			s.damaged += info.Size() - size
		}
		if len(entries) == 0 {
			_ = os.Remove(seg.path())
			continue
		}
		seg.size = size
		s.segments = append(s.segments, seg)
		s.size += size
		for i := range entries {
			each(output, &entries[i])
		}
	}
	return s, nil
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
	for s.size+n > s.limit {
		if err := s.evict(evicted); err != nil {
			return err
		}
		s.buffer = appendEntry(s.buffer[:0], e) // the lock was given up
	}
	return s.write(output, groupOf(e.Record.Source), s.buffer, now)
}

// write appends p to the segment of output and group that is being filled, or to a new one. Under mu.
func (s *Store) write(output string, group uint32, p []byte, now time.Time) error {
	seg, err := s.filling(output, group, now)
	if err != nil {
		return err
	}
	n, err := seg.file.Write(p)
	if err != nil {
		if n > 0 { // a full disk takes a part, which the next entry must not follow
			if seg.file.Truncate(seg.size) != nil {
				s.seal(seg)
			}
		}
		return err
	}
	seg.size += int64(n)
	s.size += int64(n)
	seg.dirty, s.unsynced = true, true
	return nil
}

// filling returns the segment to which a record for output is appended. Under mu.
func (s *Store) filling(output string, group uint32, now time.Time) (*Segment, error) {
	for _, seg := range s.segments {
		if seg.file == nil || seg.output != output || seg.group != group || seg.taken {
			continue
		}
		if seg.size < s.limit/segments {
			return seg, nil
		}
		if err := seg.sync(); err != nil {
			return nil, err
		}
		s.seal(seg)
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	s.sequence++
	name := nameOf(s.sequence, group, output)
	file, err := os.OpenFile(filepath.Join(s.dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	seg := &Segment{store: s, name: name, group: group, output: output, file: file, dirty: true, due: now.Add(min(firstPause, s.pause))}
	s.segments = append(s.segments, seg)
	return seg, nil
}

// seal ends appending to a segment. Under mu.
func (s *Store) seal(seg *Segment) {
	if seg.file != nil {
		_ = seg.file.Close() // nothing is buffered
		seg.file = nil
	}
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
	entries, _, err := seg.read()
	if err != nil {
		return err
	}
	seg.taken = true
	s.mu.Unlock()
	evicted(seg.output, entries)
	s.mu.Lock()
	seg.taken = false
	return s.remove(seg)
}

// remove deletes a segment. Under mu.
func (s *Store) remove(seg *Segment) error {
	if err := os.Remove(seg.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.seal(seg)
	s.segments = slices.DeleteFunc(s.segments, func(other *Segment) bool { return other == seg })
	s.size -= seg.size
	return nil
}

// Sync makes what was parked durable against the death of the machine. A checkpoint may move past parked records only
// after it.
func (s *Store) Sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.unsynced {
		return nil
	}
	for _, seg := range s.segments {
		if err := seg.sync(); err != nil {
			return fmt.Errorf("parked records: %w", err)
		}
	}
	if err := syncDir(s.dir); err != nil {
		return fmt.Errorf("parked records: %w", err)
	}
	s.unsynced = false
	return nil
}

func (seg *Segment) sync() error {
	if seg.file == nil || !seg.dirty {
		return nil
	}
	if err := seg.file.Sync(); err != nil {
		return err
	}
	seg.dirty = false
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
		s.seal(seg)
	}
	return err
}

// Damaged returns how many bytes Open could not make sense of: the end of what was written when the machine died, of
// which no checkpoint knows.
func (s *Store) Damaged() int64 { return s.damaged }

// Size is how many bytes the parked records take up on disk.
func (s *Store) Size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}

// Due returns a segment of output that is to be tried again at now, and its records; nil where there is none. The
// caller decides on it with Keep. wait is how long it is until a segment will be due, 0 where none is known.
func (s *Store) Due(output string, now time.Time) (seg *Segment, entries []Entry, wait time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segments {
		if seg.output != output || seg.taken {
			continue
		}
		if rest := seg.due.Sub(now); rest > 0 {
			if wait == 0 || rest < wait {
				wait = rest
			}
			continue
		}
		if err := seg.sync(); err != nil {
			return nil, nil, firstPause, fmt.Errorf("parked records: %w", err)
		}
		s.seal(seg)
		entries, _, err := seg.read()
		if err != nil {
			seg.postpone(now)
			return nil, nil, firstPause, fmt.Errorf("parked records: %w", err)
		}
		seg.taken = true
		return seg, entries, 0, nil
	}
	return nil, nil, wait, nil
}

// Keep ends a retry that Due began: left are the entries that remain parked. While it fails all of them do, and those
// that were delivered are delivered again, under the same identities.
func (seg *Segment) Keep(left, all []Entry, now time.Time) error {
	s := seg.store
	s.mu.Lock()
	defer s.mu.Unlock()
	seg.taken = false
	if len(left) == 0 {
		return s.remove(seg)
	}
	if len(left) < len(all) {
		seg.pauses = 0 // something got through
	}
	seg.postpone(now)
	if len(left) == len(all) {
		return nil
	}
	return s.rewrite(seg, left)
}

// postpone sets when the segment is due again. Under mu.
func (seg *Segment) postpone(now time.Time) {
	seg.due = now.Add(min(firstPause<<min(seg.pauses, 20), seg.store.pause))
	seg.pauses++
}

// rewrite replaces the segment's file by one that holds only left. Under mu.
func (s *Store) rewrite(seg *Segment, left []Entry) error {
	var p []byte
	for i := range left {
		p = appendEntry(p, &left[i])
	}
	path := seg.path()
	file, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(p)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		_ = os.Remove(path + ".tmp")
		return err
	}
	s.size += int64(len(p)) - seg.size
	seg.size = int64(len(p))
	return nil
}

func (seg *Segment) path() string { return filepath.Join(seg.store.dir, seg.name) }

// read returns the whole entries at the beginning of the segment, and how many bytes they take up.
func (seg *Segment) read() (entries []Entry, size int64, err error) {
	p, err := os.ReadFile(seg.path())
	if err != nil {
		return nil, 0, err
	}
	var d decoder
	for rest := p; len(rest) > 0; {
		payload, after, err := next(rest)
		if err != nil {
			break
		}
		e, err := d.decode(payload)
		if err != nil {
			break
		}
		entries = append(entries, e)
		rest = after
		size = int64(len(p) - len(rest))
	}
	return entries, size, nil
}
