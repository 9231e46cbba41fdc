// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A read of a file on another machine, or on one that a process of user space serves, may never return. A shard of the
// pipeline that waited for it would hold up the streams of others. So a goroutine reads it, and the shard waits a moment.

const (
	// remotePatience is how long ReadAt and Mark wait for such a read: what a server nearby needs, and what a shard can do
	// without.
	remotePatience = 20 * time.Millisecond
	// remoteWaiting bounds the reads of one file system that were waited for in vain and have not returned. Each holds a
	// thread. While there are so many no other is begun.
	remoteWaiting = 4
	// remoteFailing is after which time a read that has not returned is an error, rather than slow.
	remoteFailing = 10 * time.Second
	// remoteDevices is how many file systems are kept in mind before those are forgotten that answer.
	remoteDevices = 256
)

var errRemote = errors.New("its file system does not answer; check the server or the process behind the mount")

// local are the file systems that need nobody else to be read, by what statfs(2) says (linux/magic.h).
var local = map[int64]bool{
	unix.EXT4_SUPER_MAGIC: true, unix.XFS_SUPER_MAGIC: true, unix.BTRFS_SUPER_MAGIC: true, unix.F2FS_SUPER_MAGIC: true,
	unix.TMPFS_MAGIC: true, unix.RAMFS_MAGIC: true, unix.OVERLAYFS_SUPER_MAGIC: true, unix.SQUASHFS_MAGIC: true,
	unix.EROFS_SUPER_MAGIC_V1: true, unix.MSDOS_SUPER_MAGIC: true, unix.PROC_SUPER_MAGIC: true, unix.SYSFS_MAGIC: true,
	0x2fc12fc1: true, // ZFS
	0xca451a4e: true, // bcachefs
}

// isRemote reports whether the file system of an open file may wait for another machine or a process. What is not known
// is taken to.
func isRemote(c content) bool {
	fd, err := descriptor(c)
	if err != nil {
		return false
	}
	var s unix.Statfs_t
	if err := unix.Fstatfs(fd, &s); err != nil {
		return true
	}
	return !local[int64(s.Type)]
}

// device is a file system that may not answer.
type device struct {
	waiting atomic.Int32 // reads that were waited for in vain and have not returned
	since   atomic.Int64 // from when on there were such reads, in ns since 1970
}

// do calls f in a goroutine of its own. It does not begin while too many others have not returned, and waits a moment only
// for the end of f.
func (d *device) do(f func()) (begun, ended bool) {
	if d.waiting.Load() >= remoteWaiting {
		return false, false
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	timer := time.NewTimer(remotePatience)
	defer timer.Stop()
	select {
	case <-done:
		return true, true
	case <-timer.C:
	}
	if d.waiting.Add(1) == 1 {
		d.since.Store(time.Now().UnixNano())
	}
	go func() {
		<-done
		d.waiting.Add(-1)
	}()
	return true, false
}

// err is an error once reads have not returned for long; until then the file system is taken to be slow.
func (d *device) err() error {
	if d.waiting.Load() > 0 && time.Since(time.Unix(0, d.since.Load())) >= remoteFailing {
		return errRemote
	}
	return nil
}

// devices are the file systems that may not answer, by number.
type devices struct {
	mu       sync.Mutex
	byNumber map[uint64]*device
}

// of returns the file system of a generation whose file is open; nil if remote says that it is one of this machine.
func (d *devices) of(g *generation, remote func(content) bool) *device {
	if g.body == nil || !remote(g.body) {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if found := d.byNumber[g.Dev]; found != nil {
		return found
	}
	if d.byNumber == nil {
		d.byNumber = map[uint64]*device{}
	}
	if len(d.byNumber) >= remoteDevices {
		for number, known := range d.byNumber {
			if known.waiting.Load() == 0 {
				delete(d.byNumber, number)
			}
		}
	}
	made := &device{}
	d.byNumber[g.Dev] = made
	return made
}

// remoteRead is a ReadAt that a goroutine makes. It has memory of its own, for who asked may be gone.
type remoteRead struct {
	off  int64
	done atomic.Bool
	data []byte
	n    int
	err  error
}

// remoteReads holds remoteReads that nobody uses, for their memory.
var remoteReads sync.Pool

func newRemoteRead(off int64, size int) *remoteRead {
	read, _ := remoteReads.Get().(*remoteRead)
	if read == nil || cap(read.data) < size {
		read = &remoteRead{data: make([]byte, size)}
	}
	read.off, read.data, read.n, read.err = off, read.data[:size], 0, nil
	read.done.Store(false)
	return read
}

// take copies what was read to p.
func (read *remoteRead) take(p []byte) (int, error) {
	defer remoteReads.Put(read)
	return copy(p, read.data[:read.n]), read.err
}

// readRemote is ReadAt for a file system that may not answer. Until it does there is no more for now, and after a time an
// error.
func (r *reader) readRemote(p []byte, off int64) (int, error) {
	if read := r.reading; read != nil {
		if !read.done.Load() {
			return 0, r.device.err()
		}
		r.reading = nil
		if read.off == off && read.n <= len(p) { // else the stream was returned to its checkpoint
			return read.take(p)
		}
	}
	read := newRemoteRead(off, len(p))
	begun, ended := r.device.do(func() {
		read.n, read.err = r.readNow(read.data, off)
		read.done.Store(true)
	})
	switch {
	case ended:
		return read.take(p)
	case begun:
		r.reading = read
	}
	return 0, r.device.err()
}

// markRemote is Mark for a file system that may not answer. Until it does the mark before is returned.
func (r *reader) markRemote(off int64) ([]byte, error) {
	err := make(chan error, 1)
	_, ended := r.device.do(func() {
		m, failed := r.markNow(off)
		if failed == nil {
			r.marked.Store(&m)
		}
		err <- failed
	})
	if m := *r.marked.Load(); m != nil {
		return m, nil
	}
	if !ended {
		return nil, errRemote
	}
	return nil, <-err
}
