// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// disk holds the file system's operations that can fail while a log is open. Tests replace them to inject faults.
type disk struct {
	// create creates a file, open for reading and writing. It is not opened with O_APPEND, which splice(2) refuses.
	create func(name string) (*os.File, error)
	// splice moves up to max bytes from a pipe to fd at off, without waiting for more.
	splice func(pipe, fd int, off int64, max int) (int, error)
	// write is pwrite(2).
	write func(f *os.File, p []byte, off int64) (int, error)
	// sync makes the content of f durable.
	sync func(f *os.File) error
	// syncDir makes the names in a directory durable.
	syncDir func(dir string) error
	// allocate reserves size bytes of space for fd, without changing its length.
	allocate func(fd int, size int64) error
	// punch gives n bytes at off back to the file system; they read as zeros afterwards.
	punch func(f *os.File, off, n int64) error
	// space returns how much of the file system at dir is free, and how much it has.
	space func(dir string) (space, error)
}

// space is the free and the total space of a file system. The inodes are 0 if it has no fixed number of them.
type space struct{ bytes, totalBytes, inodes, totalInodes int64 }

var realDisk = disk{
	create: func(name string) (*os.File, error) {
		return os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	},
	splice: func(pipe, fd int, off int64, max int) (int, error) {
		n, err := unix.Splice(pipe, nil, fd, &off, max, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		return int(n), err
	},
	write: func(f *os.File, p []byte, off int64) (int, error) { return f.WriteAt(p, off) },
	sync:  func(f *os.File) error { return control(f, unix.Fdatasync) },
	syncDir: func(dir string) error {
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		defer d.Close()
		return d.Sync()
	},
	allocate: func(fd int, size int64) error {
		return unsupported(unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, size))
	},
	punch: func(f *os.File, off, n int64) error {
		return control(f, func(fd int) error {
			return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
		})
	},
	space: func(dir string) (space, error) {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			return space{}, fmt.Errorf("statfs %s: %w", dir, err)
		}
		return space{int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, int64(st.Ffree), int64(st.Files)}, nil
	},
}

// control calls do with f's descriptor, which remains valid during the call even if another goroutine closes f.
func control(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if ctl := raw.Control(func(fd uintptr) { err = do(int(fd)) }); ctl != nil {
		return ctl
	}
	return err
}

// unsupported returns nil if err means that the file system does not support the operation, else err.
func unsupported(err error) error {
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

// writeDurably writes p to a new file. It is not atomic: a crash may leave a part of it, which the reader must detect.
func (d *disk) writeDurably(name string, p []byte) error { return d.writeAndSync(name, p, d.sync) }

// writeFile is writeDurably without the sync.
func (d *disk) writeFile(name string, p []byte) error {
	return d.writeAndSync(name, p, func(*os.File) error { return nil })
}

func (d *disk) writeAndSync(name string, p []byte, sync func(*os.File) error) error {
	f, err := d.create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := d.write(f, p, 0); err != nil {
		return err
	}
	return sync(f)
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
