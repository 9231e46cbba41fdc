// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// inode names a file of the node for as long as it exists. Once it is removed and no handle is open, the kernel gives
// the number to another file.
type inode struct{ dev, ino uint64 }

// stat is what is asked of a file at each look.
type stat struct {
	inode
	size, blocks int64 // bytes that it holds, and that it takes on the disk
	mtime, btime int64 // ns since 1970; btime, the file's birth, is 0 where the file system does not know it
	links        uint32
	mode         uint16
}

func (s stat) regular() bool { return s.mode&unix.S_IFMT == unix.S_IFREG }

func (s stat) symlink() bool { return s.mode&unix.S_IFMT == unix.S_IFLNK }

// kind is a word for what no log can be read from.
func (s stat) kind() string {
	switch s.mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return "a FIFO"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFCHR, unix.S_IFBLK:
		return "a device"
	case unix.S_IFDIR:
		return "a directory"
	}
	return "no regular file"
}

// amend gives a test inode numbers and births of its own making: which number a file system gives again, and when, is its
// secret.
var amend = func(*stat) {}

// statOf asks for name in the directory dir without following a symbolic link; with an empty name, for dir itself,
// which may then be any open file.
func statOf(dir int, name string) (stat, error) {
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
			return stat{}, fmt.Errorf("statx: %w", err)
		}
		break
	}
	s := stat{
		inode: inode{unix.Mkdev(x.Dev_major, x.Dev_minor), x.Ino}, size: int64(x.Size), blocks: int64(x.Blocks) * 512,
		mtime: x.Mtime.Sec*1e9 + int64(x.Mtime.Nsec), links: x.Nlink, mode: x.Mode,
	}
	if int(x.Mask)&unix.STATX_BTIME != 0 {
		s.btime = x.Btime.Sec*1e9 + int64(x.Btime.Nsec)
	}
	amend(&s)
	return s, nil
}

// lastGeneration is the last number that newKey gave.
var lastGeneration atomic.Int64

// newKey makes the key of a stream of which the first byte is seen now. The generation tells apart all that one inode
// will ever hold: it is the microsecond of the first sight, moved on where the clock stood or went back meanwhile.
func newKey(id inode, now time.Time) string {
	g := now.UnixMicro()
	for {
		last := lastGeneration.Load()
		if g <= last {
			g = last + 1
		}
		if lastGeneration.CompareAndSwap(last, g) {
			return keyPrefix + strconv.FormatUint(id.dev, 10) + ":" + strconv.FormatUint(id.ino, 10) + ":" + strconv.FormatInt(g, 36)
		}
	}
}

// keyPrefix begins the keys of this package's streams in the checkpoint store.
const keyPrefix = "file:"
