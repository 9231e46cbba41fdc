// SPDX-License-Identifier: Apache-2.0

package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"
)

// file is one file being written, with what waits to be written to it. All of it belongs to who holds the output's lock,
// but handle, which is also synced without it.
type file struct {
	path    string
	handle  *os.File // nil until the first batch, and after a failure to open
	size    int64    // bytes in the file, all of whole lines
	pending []byte   // whole lines not yet written
	// What a failed batch leaves behind is cut away again: size when the batch began, and the batch's first record that
	// is not in an earlier, rotated file.
	before int64
	since  int
	failed error
	used   uint64 // the batch it was last used by
}

// open opens the file for appending, and makes it and its directories where they are missing. Bytes after the last
// newline are what a write left that was cut short: their record was not acknowledged and comes again, so they are cut
// away.
func (f *file) open(perm fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
		return err
	}
	h, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE, perm)
	if err != nil {
		return err
	}
	size, err := repair(h)
	if err == nil {
		err = syncDir(filepath.Dir(f.path))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", f.path, err), h.Close())
	}
	f.handle, f.size, f.before = h, size, size
	return nil
}

// repair cuts away what follows the last newline and returns the size that is left.
func repair(h *os.File) (int64, error) {
	end, err := h.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	var block [4096]byte
	size := end
	for size > 0 {
		n := min(size, int64(len(block)))
		if _, err := h.ReadAt(block[:n], size-n); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(block[:n], '\n'); i >= 0 {
			size -= n - int64(i) - 1
			break
		}
		size -= n
	}
	if size < end {
		return size, h.Truncate(size)
	}
	return size, nil
}

// begin readies f for a batch. Someone may have moved or removed the file meanwhile; then a new one is made, for what is
// appended to a file without a name is lost.
func (f *file) begin(perm fs.FileMode, batch uint64) {
	f.used, f.pending, f.before, f.since = batch, f.pending[:0], f.size, 0
	f.failed = nil
	if !f.inPlace() {
		if f.failed = f.close(); f.failed == nil {
			f.failed = f.open(perm)
		}
	}
}

func (f *file) inPlace() bool {
	if f.handle == nil {
		return false
	}
	there, err := os.Stat(f.path)
	if err != nil {
		return false
	}
	here, err := f.handle.Stat()
	return err == nil && os.SameFile(here, there)
}

// flush writes what is pending.
func (f *file) flush() error {
	if len(f.pending) == 0 || f.failed != nil {
		return f.failed
	}
	n, err := f.handle.WriteAt(f.pending, f.size)
	if err != nil {
		return f.fail(err)
	}
	f.size += int64(n)
	f.pending = f.pending[:0]
	return nil
}

// fail notes why the batch could not be written, and cuts away what was written of it, so that sending it again
// duplicates nothing.
func (f *file) fail(err error) error {
	f.pending = f.pending[:0]
	f.failed = errors.Join(err, f.handle.Truncate(f.before))
	f.size = f.before
	return f.failed
}

// rotate moves the file to PATH.1, PATH.1 to PATH.2 and so on, removes what is more than keep files, and begins a new
// one with the batch's record i.
func (f *file) rotate(keep int, compress bool, perm fs.FileMode, i int) error {
	if err := f.handle.Sync(); err != nil {
		return f.fail(err)
	}
	if err := shift(f.path, keep); err != nil {
		return f.fail(err)
	}
	old := f.handle
	if err := f.open(perm); err != nil {
		return f.fail(err)
	}
	f.since = i
	var err error
	if compress {
		err = compressFile(old, f.path+".1", perm)
	}
	f.failed = errors.Join(err, old.Close())
	return f.failed
}

// close brings what was written to the disk, for the batch it came from may still be waiting for that, and closes.
func (f *file) close() error {
	if f.handle == nil {
		return nil
	}
	err := errors.Join(datasync(f.handle), f.handle.Close())
	f.handle = nil
	return err
}

// shift gives each rotated file the next number. A file may be there plain, compressed, or, after a death in between,
// both ways.
func shift(path string, keep int) error {
	for n := keep - 1; n >= 0; n-- {
		for _, suffix := range []string{"", ".gz"} {
			from, to := rotated(path, n)+suffix, rotated(path, n+1)+suffix
			var err error
			switch {
			case n == 0 && suffix != "":
				continue
			case n == keep-1:
				err = os.Remove(from)
			default:
				err = os.Rename(from, to)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func rotated(path string, n int) string {
	if n == 0 {
		return path
	}
	return path + "." + strconv.Itoa(n)
}

// compressFile replaces the file at path, open as h, by path.gz. The plain file goes only when the other is on the disk.
func compressFile(h *os.File, path string, perm fs.FileMode) error {
	partial := path + ".gz.partial"
	out, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
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
		return errors.Join(err, os.Remove(partial))
	}
	if err := os.Rename(partial, path+".gz"); err != nil {
		return err
	}
	return os.Remove(path)
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

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
