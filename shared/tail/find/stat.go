// SPDX-License-Identifier: Apache-2.0

package find

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Inode identifies a file of this host as long as it exists. Once a file is removed and no handle of it is open, the kernel may
// reuse the number for another file. Dev may change when a file system is mounted again.
type Inode struct{ Dev, Ino uint64 }

// Stat is what statx(2) reports about a file.
type Stat struct {
	Inode
	Size, Blocks int64 // bytes of content, and bytes taken on the disk
	ModTime      int64 // ns since 1970
	Birth        int64 // ns since 1970, 0 if the file system does not record it
	Links        uint32
	Mode         uint16
	rdev         uint64
}

// Regular reports whether the file is a regular one.
func (s Stat) Regular() bool { return s.Mode&unix.S_IFMT == unix.S_IFREG }

// Dir reports whether the file is a directory.
func (s Stat) Dir() bool { return s.Mode&unix.S_IFMT == unix.S_IFDIR }

// Symlink reports whether the file is a symbolic link.
func (s Stat) Symlink() bool { return s.Mode&unix.S_IFMT == unix.S_IFLNK }

// whiteout reports whether the file marks a removed name in a layer of an overlay.
func (s Stat) whiteout() bool { return s.Mode&unix.S_IFMT == unix.S_IFCHR && s.rdev == 0 }

// Kind names the type of a file that is not a regular one.
func (s Stat) Kind() string {
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return "a FIFO"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFCHR, unix.S_IFBLK:
		return "a device"
	case unix.S_IFDIR:
		return "a directory"
	}
	return "not a regular file"
}

// TestStat, if a test sets it, changes what StatFile and all lookups return: when a file system reuses an inode number can't be
// controlled otherwise. It may be called concurrently.
var TestStat func(*Stat)

// StatFile returns the Stat of an open file.
func StatFile(f *os.File) (Stat, error) { return statAt(int(f.Fd()), "") }

// StatFD returns the Stat of an open file by its descriptor.
func StatFD(fd int) (Stat, error) { return statAt(fd, "") }

// statAt returns the Stat of name in the directory dir without following a symbolic link. If name is empty, it returns that of
// dir itself, which may then be any open file.
func statAt(dir int, name string) (Stat, error) {
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	var x unix.Statx_t
	for {
		err := unix.Statx(dir, name, flags, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &x)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return Stat{}, fmt.Errorf("statx: %w", err)
		}
		break
	}
	s := Stat{
		Inode: Inode{unix.Mkdev(x.Dev_major, x.Dev_minor), x.Ino}, Size: int64(x.Size), Blocks: int64(x.Blocks) * 512,
		ModTime: x.Mtime.Sec*1e9 + int64(x.Mtime.Nsec), Links: x.Nlink, Mode: x.Mode,
		rdev: unix.Mkdev(x.Rdev_major, x.Rdev_minor),
	}
	if int(x.Mask)&unix.STATX_BTIME != 0 {
		s.Birth = x.Btime.Sec*1e9 + int64(x.Btime.Nsec)
	}
	if TestStat != nil {
		TestStat(&s)
	}
	return s, nil
}
