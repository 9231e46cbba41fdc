// SPDX-License-Identifier: Apache-2.0

// Package mapped maps files into memory. The kernel keeps what was written to a mapping when the process dies, and a write
// costs no system call.
package mapped

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrCopyOnWrite means that the file is on a file system that needs new space even for allocated blocks, whenever it writes
// them out. Once the disk is full, a write to a mapping would end the process with SIGBUS.
var ErrCopyOnWrite = errors.New("the file system copies on write, so that a full disk would end the process")

// copyOnWrite holds the f_type of such file systems, see statfs(2) (linux/magic.h; openzfs/zfs include/sys/fs/zfs.h;
// fs/bcachefs/bcachefs_format.h). Tested on btrfs: a mapping faults at the first write after a writeback, with nodatacow too.
var copyOnWrite = map[int64]bool{
	unix.BTRFS_SUPER_MAGIC: true, unix.F2FS_SUPER_MAGIC: true, unix.NILFS_SUPER_MAGIC: true,
	0x2fc12fc1: true, // zfs
	0xca451a4e: true, // bcachefs
}

// Map maps size bytes of f from at, a multiple of the page size. It allocates them first, because a write to memory ends the
// process if the disk is full.
func Map(f *os.File, at, size int64) ([]byte, error) {
	fd := int(f.Fd())
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	if copyOnWrite[int64(fs.Type)] { //nolint:unconvert // its type differs between processors
		return nil, fmt.Errorf("%s: %w", f.Name(), ErrCopyOnWrite)
	}
	if err := allocate(f, at, size); err != nil {
		return nil, err
	}
	mem, err := unix.Mmap(fd, at, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", f.Name(), err)
	}
	return mem, nil
}

// allocate allocates size bytes of f from at, and keeps what the file holds.
func allocate(f *os.File, at, size int64) error {
	if unix.Fallocate(int(f.Fd()), 0, at, size) == nil {
		return nil
	}
	// The file system can't allocate without writing.
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if from := max(at, info.Size()); from < at+size {
		_, err = f.WriteAt(make([]byte, at+size-from), from)
	}
	return err
}
