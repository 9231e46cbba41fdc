// SPDX-License-Identifier: Apache-2.0

package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"
)

// file is one file being written, with the lines that wait to be written to it. The output's lock guards it, except that
// handle is synced without the lock.
type file struct {
	root    root
	journal *journal
	mark    int      // journal.mark when the file was opened
	name    string   // below root
	handle  *os.File // nil while it is not open
	id      born     // of handle
	size    int64    // bytes in the file, all of whole lines
	pending []byte   // whole lines not yet written
	// before and since are for cutting away what a failed batch has written: the size when the batch began, and the first
	// record of the batch that is not in an earlier, rotated file.
	before int64
	since  int
	failed error
	// unsynced is the error of syncing the file when it was closed.
	unsynced error
	used     uint64 // Output.uses at the last use
}

// inode identifies a file on this machine.
type inode struct{ dev, ino uint64 }

// open opens the file for appending, and makes it and its directories if they are missing. It cuts away the bytes after the
// last newline, which an interrupted write left: their record was not acknowledged and is sent again.
func (f *file) open(perm fs.FileMode) error {
	d, err := f.root.open(f.name)
	if err != nil {
		return err
	}
	defer d.close()
	return f.openIn(d, perm)
}

func (f *file) openIn(d *dir, perm fs.FileMode) error {
	h, err := d.openFile(path.Base(f.name), unix.O_RDWR|unix.O_CREAT, perm)
	if err != nil {
		return err
	}
	var id born
	var size int64
	if err = own(h); err == nil {
		size, err = repair(h)
	}
	if err == nil {
		id, err = bornOf(h)
	}
	if err == nil {
		err = d.sync() // the file's name has to survive a crash as well
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", h.Name(), err), h.Close())
	}
	f.mark = f.journal.mark()
	f.handle, f.id, f.size, f.before = h, id, size, size
	f.journal.opened(f.id, size)
	return nil
}

// errShared is the error of a file that another output or process writes.
var errShared = errors.New("another output, or another process, writes this file; give each a FILE_PATH or FILE_NAME of its own")

// own locks a file until it is closed. Each output writes at the end of the file as it knows it, so two of them would
// overwrite each other's acknowledged records.
func own(h *os.File) error {
	if errors.Is(unix.Flock(int(h.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK) {
		return errShared
	}
	return nil // also if the file system has no locks
}

// repair truncates the file after its last newline, and returns the size that is left.
func repair(h *os.File) (int64, error) {
	size, end, err := lastLine(h)
	if err == nil && size < end {
		err = h.Truncate(size)
	}
	return size, err
}

// lastLine returns the offset at which the last line ends, and the file's size.
func lastLine(h *os.File) (size, end int64, err error) {
	end, err = h.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, 0, err
	}
	var block [4096]byte
	for size = end; size > 0; {
		n := min(size, int64(len(block)))
		if _, err := h.ReadAt(block[:n], size-n); err != nil {
			return 0, end, err
		}
		if i := bytes.LastIndexByte(block[:n], '\n'); i >= 0 {
			return size - n + int64(i) + 1, end, nil
		}
		size -= n
	}
	return 0, end, nil
}

// begin prepares an open f for a batch.
func (f *file) begin() { f.pending, f.before, f.since, f.failed = f.pending[:0], f.size, 0, nil }

// inPlace reports whether f is open and its name still refers to it. Otherwise what is appended would be lost.
func (f *file) inPlace() bool {
	if f.handle == nil {
		return false
	}
	var st unix.Stat_t
	err := unix.Lstat(filepath.Join(f.root.path, f.name), &st)
	return err == nil && f.id.inode == inode{st.Dev, st.Ino}
}

// flush writes the pending lines.
func (f *file) flush() error {
	if len(f.pending) == 0 || f.failed != nil {
		return f.failed
	}
	if err := f.journal.store(); err != nil {
		return f.fail(err)
	}
	n, err := f.handle.WriteAt(f.pending, f.size)
	if err != nil {
		return f.fail(err)
	}
	f.size += int64(n)
	f.pending = f.pending[:0]
	return nil
}

// fail records why the batch could not be written, and cuts away what was written of it, so that sending it again duplicates
// nothing.
func (f *file) fail(err error) error {
	f.pending = f.pending[:0]
	f.failed = errors.Join(err, f.handle.Truncate(f.before))
	f.size = f.before
	f.failed = errors.Join(f.failed, f.journal.cut(f.id, f.mark, f.size))
	return f.failed
}

// rotate renames the file to NAME.1, NAME.1 to NAME.2 and so on, and removes the oldest so that keep files remain, the new one
// included. The new file begins with record i of the batch.
func (f *file) rotate(keep int, compress bool, perm fs.FileMode, i int) error {
	if err := f.handle.Sync(); err != nil {
		return f.fail(err)
	}
	d, err := f.root.open(f.name)
	if err != nil {
		return f.fail(err)
	}
	defer d.close()
	base := path.Base(f.name)
	if err := d.shift(base, keep); err != nil {
		return f.fail(err)
	}
	old, id, mark := f.handle, f.id, f.mark
	if err := f.openIn(d, perm); err != nil {
		return f.fail(err)
	}
	err = f.journal.keep(id, mark) // only now: before, what the batch wrote may be cut away again
	f.since = i
	if compress {
		err = errors.Join(err, d.compress(old, base+".1", perm))
	}
	f.failed = errors.Join(err, old.Close())
	return f.failed
}

// close syncs the file, because a batch may still be waiting for that, and closes it.
func (f *file) close() error {
	if f.handle == nil {
		return nil
	}
	kept := f.journal.keep(f.id, f.mark)
	f.unsynced = datasync(f.handle)
	err := errors.Join(kept, f.unsynced, f.handle.Close())
	f.handle = nil
	return err
}

// shift gives each rotated file of name the next number. A file may exist plain, compressed or, after a crash in between, as
// both.
func (d *dir) shift(name string, keep int) error {
	for n := keep - 1; n >= 0; n-- {
		for _, suffix := range []string{"", ".gz"} {
			from, to := rotated(name, n)+suffix, rotated(name, n+1)+suffix
			var err error
			switch {
			case n == 0 && suffix != "":
				continue
			case n == keep-1:
				err = d.remove(from)
			default:
				err = d.rename(from, to)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func rotated(name string, n int) string {
	if n == 0 {
		return name
	}
	return name + "." + strconv.Itoa(n)
}

// compress replaces the file called name, open as h, by name.gz. It removes the plain file only when the other is on disk.
func (d *dir) compress(h *os.File, name string, perm fs.FileMode) error {
	partial := name + ".gz.partial"
	if err := d.remove(partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := d.openFile(partial, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, perm)
	if err != nil {
		return err
	}
	if _, err = h.Seek(0, io.SeekStart); err == nil {
		z, _ := gzip.NewWriterLevel(out, gzip.BestSpeed)
		if _, err = io.Copy(z, h); err == nil {
			err = z.Close()
		}
	}
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, d.remove(partial))
	}
	if err := d.rename(partial, name+".gz"); err != nil {
		return err
	}
	return d.remove(name)
}

func datasync(h *os.File) error {
	raw, err := h.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.Fdatasync(int(fd)) }); err != nil {
		return err
	}
	if failed != nil {
		return fmt.Errorf("%s: fdatasync: %w", h.Name(), failed)
	}
	return nil
}
