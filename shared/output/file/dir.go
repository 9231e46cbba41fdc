// SPDX-License-Identifier: Apache-2.0

package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// root is FILE_PATH. It may be reached through links, because the operator chose it. Below it no link is followed: the names
// there come from containers' declarations, and others may write in the directories, so a link could have any file of the
// machine truncated.
type root struct{ path string }

// dir is an open directory below the root.
type dir struct {
	fd   int
	path string // for errors
}

// errOutput marks an error that concerns all files, not only the one being opened.
var errOutput = errors.New("FILE_PATH can't be written in")

// open opens the directory that holds the file called name, component by component, and makes missing ones. openat2 with
// RESOLVE_NO_SYMLINKS would do so in one call, but containers' seccomp profiles and kernels before 5.6 lack it, and files are
// opened rarely.
func (r root) open(name string) (*dir, error) {
	fd, err := unix.Open(r.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		if err := os.MkdirAll(r.path, 0o755); err != nil {
			return nil, fmt.Errorf("%w: %w", errOutput, err)
		}
		fd, err = unix.Open(r.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOutput, &fs.PathError{Op: "open", Path: r.path, Err: err})
	}
	d := &dir{fd: fd, path: r.path}
	for part := range strings.SplitSeq(path.Dir(name), "/") {
		if part == "." {
			continue
		}
		inner, err := d.enter(part)
		d.close()
		if err != nil {
			return nil, err
		}
		d = inner
	}
	return d, nil
}

// enter opens the directory called name in d, and makes it if it is missing.
func (d *dir) enter(name string) (*dir, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(d.fd, name, flags, 0)
	if errors.Is(err, unix.ENOENT) {
		if err = unix.Mkdirat(d.fd, name, 0o755); err == nil || errors.Is(err, unix.EEXIST) {
			if err = d.sync(); err == nil {
				fd, err = unix.Openat(d.fd, name, flags, 0)
			}
		}
	}
	if err != nil {
		return nil, d.explain("open", name, err)
	}
	return &dir{fd: fd, path: filepath.Join(d.path, name)}, nil
}

// openFile opens a regular file in d.
func (d *dir) openFile(name string, flags int, perm fs.FileMode) (*os.File, error) {
	// O_NONBLOCK: opening a FIFO or a device must not block before it is recognised.
	fd, err := unix.Openat(d.fd, name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, uint32(perm))
	if err != nil {
		return nil, d.explain("open", name, err)
	}
	h := os.NewFile(uintptr(fd), filepath.Join(d.path, name))
	info, err := h.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", h.Name())
	}
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// stat returns the state of the file called name, without following a link.
func (d *dir) stat(name string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

func (d *dir) rename(from, to string) error {
	return d.explain("rename", from, unix.Renameat(d.fd, from, d.fd, to))
}

func (d *dir) remove(name string) error {
	return d.explain("remove", name, unix.Unlinkat(d.fd, name, 0))
}

func (d *dir) sync() error { return d.explain("fsync", "", unix.Fsync(d.fd)) }

func (d *dir) close() { _ = unix.Close(d.fd) }

// explain adds the operation and the file to err; nil stays nil.
func (d *dir) explain(op, name string, err error) error {
	if err == nil {
		return nil
	}
	where := filepath.Join(d.path, name)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		if st, e := d.stat(name); e == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
			return fmt.Errorf("%s is a symbolic link; below FILE_PATH none is followed", where)
		}
	}
	return &fs.PathError{Op: op, Path: where, Err: err}
}
