// SPDX-License-Identifier: Apache-2.0

package park

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Segment is a file of parked records.
type Segment struct {
	store  *Store
	name   string
	output string
	group  uint32
	size   int64    // of the file's whole entries; what follows them is overwritten
	file   *os.File // nil until records are appended
	dirty  bool     // what was appended is not synced; then file is open
	lost   bool     // its file may not hold what was appended, or is not in the directory: it must be rewritten
	taken  bool     // by Due or evict, which decide on it
	// decided are the entries, by their offset, that are not parked any more and could not be removed from the file yet.
	// They are neither sent nor counted again by this process.
	decided map[int64]struct{}
	pauses  int
	due     time.Time
}

func (seg *Segment) path() string { return filepath.Join(seg.store.dir, seg.name) }

// append writes p behind the entries. Under the store's mu.
func (seg *Segment) append(p []byte) error {
	if seg.file == nil {
		file, err := os.OpenFile(seg.path(), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		seg.file = file
	}
	if _, err := seg.file.WriteAt(p, seg.size); err != nil {
		_ = seg.file.Truncate(seg.size) // a full disk takes a part; if that stays, the next entry overwrites it
		return err
	}
	seg.dirty = true
	return nil
}

// close closes the file. Under the store's mu.
func (seg *Segment) close() {
	if seg.file != nil {
		_ = seg.file.Close() // nothing is buffered
		seg.file = nil
	}
}

// Keep ends a retry that Due began: left are the entries of all that remain parked. If it fails, the others are still on
// disk. They are not due again, and the next Keep tries again to remove them; but if the process ends before that, they
// are delivered once more, under the same identities.
func (seg *Segment) Keep(left, all []Entry, now time.Time) error {
	s := seg.store
	s.mu.Lock()
	defer s.mu.Unlock()
	seg.taken = false
	seg.decide(left, all)
	if len(seg.decided) == 0 {
		seg.postpone(now)
		return nil
	}
	err := s.compact(seg)
	if err == nil && len(left) < len(all) {
		seg.pauses = 0 // something got through
	}
	seg.postpone(now)
	return err
}

// decide notes that the entries of all that are not in left are not parked any more.
func (seg *Segment) decide(left, all []Entry) {
	if len(left) == len(all) {
		return
	}
	if seg.decided == nil {
		seg.decided = map[int64]struct{}{}
	}
	for i := range all {
		seg.decided[all[i].at] = struct{}{}
	}
	for i := range left {
		delete(seg.decided, left[i].at)
	}
}

// postpone sets when the segment is due again. Under mu.
func (seg *Segment) postpone(now time.Time) {
	seg.due = now.Add(min(firstPause<<min(seg.pauses, 20), seg.store.pause))
	seg.pauses++
}

// compact replaces the segment's file by one without the decided entries, or removes it if it has no others. Under mu.
func (s *Store) compact(seg *Segment) error {
	entries, found, err := seg.read()
	if err != nil {
		return err
	}
	if found.unread() > 0 {
		if err := errors.Join(seg.preserve(), s.pruneBad()); err != nil {
			return err
		}
	}
	entries = seg.parked(entries)
	if len(entries) == 0 {
		return s.remove(seg)
	}
	var p []byte
	for i := range entries {
		p = appendEntry(p, &entries[i])
	}
	path := seg.path()
	file, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(p)
	err = errors.Join(err, s.fsync(file), file.Close())
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		_ = os.Remove(path + ".tmp")
		return err
	}
	seg.close()
	seg.dirty, seg.lost, seg.decided = false, false, nil
	s.unsynced = true // the directory is
	s.resize(seg, int64(len(p)))
	return nil
}

// undecided returns the entries that are parked.
func (seg *Segment) undecided() ([]Entry, error) {
	entries, _, err := seg.read()
	return seg.parked(entries), err
}

// parked returns those of entries that are not decided.
func (seg *Segment) parked(entries []Entry) []Entry {
	left := entries[:0]
	for _, e := range entries {
		if _, done := seg.decided[e.at]; !done {
			left = append(left, e)
		}
	}
	return left
}

// preserve keeps the segment's file, of which not all can be read, under another name.
func (seg *Segment) preserve() error {
	if err := os.Link(seg.path(), seg.path()+badSuffix); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// bytes returns the segment's bytes: those of its entries, or all if it was just found.
func (seg *Segment) bytes() ([]byte, error) {
	if seg.file != nil { // also of a file that somebody has removed
		p := make([]byte, seg.size)
		_, err := seg.file.ReadAt(p, 0)
		return p, err
	}
	p, err := os.ReadFile(seg.path())
	if seg.size > 0 {
		p = p[:min(seg.size, int64(len(p)))]
	}
	return p, err
}

// found is what a segment's file holds beside entries.
type found struct {
	size           int64 // up to the end of the last entry
	damaged, newer int64 // bytes that are damaged, or of another version
}

func (f found) unread() int64 { return f.damaged + f.newer }

// read returns the segment's entries. It skips what is damaged, or of another version, as long as it finds where the next
// entry begins.
func (seg *Segment) read() (entries []Entry, of found, err error) {
	p, err := seg.bytes()
	if err != nil {
		return nil, of, err
	}
	var d decoder
	for rest := p; len(rest) > 0; {
		payload, after, err := next(rest)
		if err != nil && after == nil {
			of.damaged += int64(len(rest))
			break
		}
		at, n := int64(len(p)-len(rest)), int64(len(rest)-len(after))
		rest = after
		var e Entry
		if err == nil {
			e, err = d.decode(payload)
		}
		switch {
		case err == nil:
			e.at = at
			entries = append(entries, e)
			of.size = at + n
		case errors.Is(err, errVersion):
			of.newer += n
		default:
			of.damaged += n
		}
	}
	return entries, of, nil
}
