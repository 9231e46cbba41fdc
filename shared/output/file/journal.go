// SPDX-License-Identifier: Apache-2.0

package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/mapped"
	"github.com/remora-logs/remora/shared/record"
)

// Records that were written but not acknowledged when the process was killed are sent again. The journal lets the output write
// them only once. For each of the last records it holds the identity, the file, and the offset in it at which the record ends.
// An entry is made before its record is written. After a kill, a record is in its file if the file is at least as long as the
// entry says. What follows the last such record is the beginning of another one. It is cut away, because with FILE_FORMAT=raw
// it may hold whole lines.
//
// The journal is a mapped file, which the kernel keeps when the process dies. It costs a few stores a record and no sync. On a
// file system that copies on write, which allows no mapping, its entries are written before the records, all of a chunk at
// once. After a crash of the machine the journal is void, because neither it nor the files may be on disk as they were; so it
// holds the ID of the boot it belongs to.
const (
	journalHeader  = 32 // boot ID, version, next entry
	journalVersion = 2  // 1 stored ends without adding one, and had no entries of opened files
	entrySize      = 32 // identity, file, end, check
	// journalEntries is two batches, which is as many as the default of REMORA_WORKERS has in flight. With more workers and
	// batches full of short lines, the oldest entries are overwritten too early.
	journalEntries = 128 << 10
	journalSize    = journalHeader + journalEntries*entrySize
)

// journal is guarded by the output's lock. A nil journal notes nothing; after a kill, records that were in flight are written
// twice.
type journal struct {
	file *os.File
	mem  []byte
	next int // index of the next entry
	// unmapped means that store writes mem to file: the entries from changedFrom to changedTo.
	unmapped               bool
	changedFrom, changedTo int
	// noted counts the entries of this process.
	noted int
	// written holds the identities of records that an earlier process wrote and that may be sent again.
	written map[uint64]struct{}
}

// openJournal opens the journal at path, and finds which of its records are in the files. files returns what a kill left of them.
func openJournal(path string, files func() map[uint64]left) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{file: f}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s is another output's: %w", path, err), f.Close())
	}
	if j.mem, err = mapFile(f, 0, journalSize); errors.Is(err, mapped.ErrCopyOnWrite) {
		err = j.read()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err = j.recover(files); err == nil {
		err = j.storeAll()
	}
	if err != nil {
		return nil, errors.Join(err, j.abandon())
	}
	return j, nil
}

// mapFile is replaced by tests.
var mapFile = mapped.Map

// read reads a journal that is not mapped.
func (j *journal) read() error {
	j.unmapped, j.mem = true, make([]byte, journalSize)
	if n, err := j.file.ReadAt(j.mem, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	} else if n < journalSize {
		clear(j.mem) // its first write was not finished, or store has emptied it
	}
	return nil
}

// storeAll writes all of a journal that is not mapped.
func (j *journal) storeAll() error {
	j.changedFrom, j.changedTo = 0, journalEntries
	return j.store()
}

// store writes the changed entries of a journal that is not mapped. It is called before records are written, and after entries
// were voided or settled: a stale entry of a record that was cut away could be taken for another's. If it can't write them, it
// empties the file, so that after a kill records that were in flight are written twice.
func (j *journal) store() error {
	if j == nil || !j.unmapped || j.changedFrom >= j.changedTo {
		return nil
	}
	from, to := journalHeader+j.changedFrom*entrySize, journalHeader+j.changedTo*entrySize
	_, err := j.file.WriteAt(j.mem[:journalHeader], 0) // first: after a kill in between, the next process overwrites the oldest entries, not the newest
	if err == nil {
		_, err = j.file.WriteAt(j.mem[from:to], int64(from))
	}
	if err != nil {
		if empty := j.file.Truncate(0); empty != nil {
			return errors.Join(fmt.Errorf("journal: %w", err), empty)
		}
		j.changedFrom, j.changedTo = 0, journalEntries // until all of it can be written
		return nil
	}
	j.changedFrom, j.changedTo = 0, 0
	return nil
}

// changed notes that entry i must be stored.
func (j *journal) changed(i int) {
	if !j.unmapped {
		return
	}
	if j.changedFrom >= j.changedTo {
		j.changedFrom, j.changedTo = i, i+1
		return
	}
	j.changedFrom, j.changedTo = min(j.changedFrom, i), max(j.changedTo, i+1)
}

// left is a file as a kill has left it; size is its length up to the last newline.
type left struct {
	path string
	id   born
	size int64
}

// recover reads the entries of an earlier process of this boot, and keeps those whose records are in their files.
func (j *journal) recover(files func() map[uint64]left) error {
	boot := bootID()
	if len(boot) == 0 || !bytes.Equal(j.mem[:len(boot)], boot) || j.mem[len(boot)] != journalVersion {
		clear(j.mem)
		copy(j.mem, boot)
		j.mem[16] = journalVersion
		return nil
	}
	j.next = int(binary.NativeEndian.Uint64(j.mem[24:]) % journalEntries)
	var valid []entry
	for i := range journalEntries {
		if e := j.entry(i); e.valid() {
			valid = append(valid, e)
		}
	}
	if len(valid) == 0 {
		return nil
	}
	found := files()
	if err := cutTorn(valid, found); err != nil {
		return err
	}
	j.written = make(map[uint64]struct{})
	for _, e := range valid {
		if end, ok := e.end(); e.identity() == fileOpened || ok && found[e.file()].size < end {
			e.void()
			continue
		}
		e.settle()
		j.written[e.identity()] = struct{}{}
	}
	return nil
}

// cutTorn cuts from each file the beginning of a record that was not written to its end.
func cutTorn(entries []entry, found map[uint64]left) error {
	whole, torn := map[uint64]int64{}, map[uint64]bool{} // by file: the end of the last whole record, and whether one is not whole
	for _, e := range entries {
		end, ok := e.end()
		f, there := found[e.file()]
		switch {
		case !ok || !there:
		case end > f.size:
			torn[e.file()] = true
		default:
			whole[e.file()] = max(whole[e.file()], end)
		}
	}
	for hash := range torn {
		f := found[hash]
		if end, ok := whole[hash]; ok && end < f.size {
			if err := f.truncate(end); err != nil {
				return fmt.Errorf("%s: cut away a record that was not written to its end: %w", f.path, err)
			}
			f.size = end
			found[hash] = f
		}
	}
	return nil
}

// truncate truncates the file, unless another one has its name now.
func (l left) truncate(size int64) error {
	fd, err := unix.Open(l.path, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), l.path)
	defer f.Close()
	if id, err := bornOf(f); err != nil {
		return err
	} else if id != l.id {
		return errors.New("it was replaced meanwhile")
	}
	return f.Truncate(size)
}

// has reports whether an earlier process has written r.
func (j *journal) has(r *record.Record) bool {
	if j == nil || len(j.written) == 0 {
		return false
	}
	_, ok := j.written[identity(r)]
	return ok
}

// note records that r is about to be written to a file, and ends there at end.
func (j *journal) note(r *record.Record, file born, end int64) {
	if j == nil {
		return
	}
	j.add(identity(r), file, end)
}

// opened records that a file of size bytes was opened: up to there it holds whole records.
func (j *journal) opened(file born, size int64) {
	if j != nil {
		j.add(fileOpened, file, size)
	}
}

func (j *journal) add(identity uint64, file born, end int64) {
	j.entry(j.next).set(identity, file.hash(), end)
	j.changed(j.next)
	j.next = (j.next + 1) % journalEntries
	j.noted++
	binary.NativeEndian.PutUint64(j.mem[24:], uint64(j.next))
}

// mark returns the position of the next entry, at which the entries of a file begin that is opened now.
func (j *journal) mark() int {
	if j == nil {
		return 0
	}
	return j.noted
}

// cut voids the entries of a file, made since mark, whose records ended after size, because the file was cut back to size.
func (j *journal) cut(file born, mark int, size int64) error {
	j.each(file, mark, func(e entry) {
		if end, _ := e.end(); end > size {
			e.void()
		}
	})
	return j.store()
}

// keep settles the entries of a file made since mark: their records are written, even if the file is removed later.
func (j *journal) keep(file born, mark int) error {
	j.each(file, mark, entry.settle)
	return j.store()
}

func (j *journal) each(file born, mark int, do func(entry)) {
	if j == nil {
		return
	}
	hash := file.hash()
	for back := range min(j.noted-mark, journalEntries) {
		i := (j.next + journalEntries - 1 - back) % journalEntries
		if e := j.entry(i); e.file() == hash && e.valid() {
			if _, ok := e.end(); ok {
				do(e)
				j.changed(i)
			}
		}
	}
}

// close voids the journal and closes it. The output is closed when all it wrote is acknowledged, so nothing is sent again.
func (j *journal) close() error {
	if j == nil {
		return nil
	}
	if j.unmapped {
		return errors.Join(j.file.Truncate(0), j.abandon())
	}
	clear(j.mem[:len(bootID())])
	return j.abandon()
}

// abandon closes the journal and leaves it as a kill would.
func (j *journal) abandon() error {
	if j == nil {
		return nil
	}
	if j.unmapped {
		return j.file.Close()
	}
	return errors.Join(unix.Munmap(j.mem), j.file.Close())
}

// entry is the entry of one record. It has no end once the record is known to be written, whatever happens to the file.
type entry []byte

const (
	// fileOpened takes the place of a record's identity in the entry of an opened file.
	fileOpened = 0
	// noEnd is stored in an entry without an end.
	noEnd = 0
)

func (j *journal) entry(i int) entry { return j.mem[journalHeader+i*entrySize:][:entrySize] }

func (e entry) identity() uint64 { return binary.NativeEndian.Uint64(e) }
func (e entry) file() uint64     { return binary.NativeEndian.Uint64(e[8:]) }

// end returns the offset at which the record ends. It is stored plus one, because an empty file that was opened ends at 0.
func (e entry) end() (end int64, ok bool) {
	v := int64(binary.NativeEndian.Uint64(e[16:]))
	return v - 1, v > noEnd
}

func (e entry) valid() bool {
	return binary.NativeEndian.Uint64(e[24:]) == check(e.identity(), e.file())
}

// set writes an entry. A kill between two of its stores leaves an invalid one.
func (e entry) set(identity, file uint64, end int64) {
	e.void()
	binary.NativeEndian.PutUint64(e, identity)
	binary.NativeEndian.PutUint64(e[8:], file)
	binary.NativeEndian.PutUint64(e[16:], uint64(end)+1)
	binary.NativeEndian.PutUint64(e[24:], check(identity, file))
}

func (e entry) void()   { binary.NativeEndian.PutUint64(e[24:], 0) }
func (e entry) settle() { binary.NativeEndian.PutUint64(e[16:], noEnd) }

// check returns a checksum of an entry, which is never 0.
func check(identity, file uint64) uint64 { return mix(identity, file) | 1 }

// identity returns a hash that identifies a record by its stream and declaration, its offset and its length. A record of
// several lines that was written after a pause may have more lines when it is read again; it is another record then.
func identity(r *record.Record) uint64 {
	id, h := r.Source.ID, uint64(0)
	for ; len(id) >= 8; id = id[8:] {
		h = mix(h, binary.LittleEndian.Uint64([]byte(id[:8])))
	}
	for i := range len(id) {
		h = mix(h, uint64(id[i]))
	}
	if r.Marker {
		h++
	}
	return mix(mix(h, uint64(r.Offset)), uint64(len(r.Line))<<32|uint64(len(r.Fields)))
}

// born identifies a file by inode and birth: when a file is removed, its inode may go to another, which must not be truncated.
type born struct {
	inode
	at int64 // nanoseconds since 1970; 0 if the file system does not record it
}

func bornOf(f *os.File) (b born, err error) {
	var x unix.Statx_t
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_BTIME, &x)
	}
	if err != nil {
		return b, fmt.Errorf("statx: %w", err)
	}
	b.inode = inode{unix.Mkdev(x.Dev_major, x.Dev_minor), x.Ino}
	if int(x.Mask)&unix.STATX_BTIME != 0 {
		b.at = x.Btime.Sec*1e9 + int64(x.Btime.Nsec)
	}
	return b, nil
}

func (b born) hash() uint64 { return mix(mix(b.dev, b.ino), uint64(b.at)) }

// mix hashes two numbers: it folds the product of both, each XORed with an odd constant.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xd1b54a32d192ed03)
	return hi ^ lo
}

// bootID returns 16 bytes that identify this boot of the machine; none if the kernel does not provide them.
var bootID = sync.OnceValue(func() []byte {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil
	}
	return text[:min(len(text), 16)]
})

// left returns the state of all files below the root, by the hash of their inode and birth.
func (r root) left() map[uint64]left {
	all := map[uint64]left{}
	_ = filepath.WalkDir(r.path, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // of what can't be read nothing is known to be written
		}
		if l, err := wholeLines(path); err == nil {
			all[l.id.hash()] = l
		}
		return nil
	})
	return all
}

// wholeLines returns the state of the file at path.
func wholeLines(path string) (left, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return left{}, fmt.Errorf("%s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	id, err := bornOf(f)
	if err != nil {
		return left{}, err
	}
	size, _, err := lastLine(f)
	return left{path, id, size}, err
}
