// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A read of a file on another machine, or on one that a process of user space serves, may never return. A shard of the
// pipeline that waited for it would hold up the streams of others. So a goroutine reads it, and the shard waits a moment.

const (
	// remotePatience is how long ReadAt and Mark wait for such a read at most: what a server nearby needs, and what a shard can
	// do without. A file system whose reads take longer is not waited for at all.
	remotePatience = 20 * time.Millisecond
	// remoteReading bounds the reads of one file system that have not returned. Each may hold a thread. Who finds no place
	// among them waits in a queue.
	remoteReading = 4
	// remoteAbsent is after which time a stream that does not ask any more is no longer in the queue.
	remoteAbsent = time.Second
	// remoteMarks bounds the marks of one file system that are still to be made.
	remoteMarks = 4096
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
	mu      sync.Mutex
	reading [remoteReading]time.Time // since when a place is taken; zero where it is free
	took    time.Duration            // how long the last read took that returned
	queue   []*turn                  // of those that found no place, in the order in which they are to have one
	marks   []*markTask              // still to be made, one after the other
	marking time.Time                // since when one is being made; zero if none is
}

// turn is a reader's place in the queue of a device, which guards it.
type turn struct {
	queued bool
	asked  time.Time // when it last asked for a place
}

// do calls f in a goroutine of its own if it is t's turn, and waits for its end no longer than patience, of which it takes what
// it needed.
func (d *device) do(t *turn, f func(), patience *time.Duration) (begun, ended bool) {
	wait := min(*patience, d.patience(), remotePatience)
	done, begun := d.begin(t, f)
	if !begun || wait <= 0 {
		return begun, false
	}
	asked := time.Now()
	ended = await(done, wait)
	*patience -= time.Since(asked)
	return true, ended
}

// await reports whether done was closed within a time.
func await(done <-chan struct{}, within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// patience is how long it is worth waiting for the file system: not at all where its last read took longer, or one that has
// not returned has.
func (d *device) patience() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.took > remotePatience || d.longest(time.Now()) >= remotePatience {
		return 0
	}
	return remotePatience
}

// longest returns for how long the file system has not answered what it was asked. The caller holds d.mu.
func (d *device) longest(now time.Time) (longest time.Duration) {
	if !d.marking.IsZero() {
		longest = now.Sub(d.marking)
	}
	for _, since := range d.reading {
		if !since.IsZero() {
			longest = max(longest, now.Sub(since))
		}
	}
	return longest
}

// begin calls f in a goroutine of its own if there is a place and it is t's turn.
func (d *device) begin(t *turn, f func()) (done <-chan struct{}, begun bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, place, free := time.Now(), 0, 0
	for i, since := range d.reading {
		if since.IsZero() {
			place, free = i, free+1
		}
	}
	if !d.mayBegin(t, free, now) {
		return nil, false
	}
	d.reading[place] = now
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f()
		d.mu.Lock()
		defer d.mu.Unlock()
		d.reading[place] = time.Time{}
		if d.took = time.Since(now); d.took >= remoteFailing {
			d.took = 0 // it did not answer, which says nothing about how long it takes now that it does
		}
	}()
	return ended, true
}

// mayBegin reports whether one of the free places is t's: they are for the first in the queue, which ask in their turns. t
// joins the queue if not. The caller holds d.mu.
func (d *device) mayBegin(t *turn, free int, now time.Time) bool {
	t.asked = now
	for i := 0; i < min(free, len(d.queue)); {
		switch other := d.queue[i]; {
		case other == t:
			d.leave(i)
			return true
		case now.Sub(other.asked) > remoteAbsent:
			d.leave(i)
		default:
			i++
		}
	}
	if t.queued {
		return false
	}
	if len(d.queue) < free {
		return true
	}
	if len(d.queue) == cap(d.queue) { // it grows: not by those that are gone
		d.queue = slices.DeleteFunc(d.queue, func(other *turn) bool {
			gone := now.Sub(other.asked) > remoteAbsent
			other.queued = !gone
			return gone
		})
	}
	d.queue, t.queued = append(d.queue, t), true
	return false
}

func (d *device) leave(i int) {
	d.queue[i].queued = false
	d.queue = slices.Delete(d.queue, i, i+1)
}

// markTask is a mark that is to be made of a reader's stream at off.
type markTask struct {
	reader *reader
	off    int64
	done   chan struct{}
	err    error // once done is closed
}

// mark has r's mark made, after those that were asked for before. It returns nil where one is still to be made.
func (d *device) mark(r *reader, off int64) *markTask {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.marking || len(d.marks) >= remoteMarks {
		return nil
	}
	r.marking = true
	task := &markTask{reader: r, off: off, done: make(chan struct{})}
	if d.marks = append(d.marks, task); d.marking.IsZero() {
		d.marking = time.Now()
		go d.makeMarks()
	}
	return task
}

// makeMarks makes the marks that are asked for until there are none.
func (d *device) makeMarks() {
	for {
		d.mu.Lock()
		if len(d.marks) == 0 {
			d.marks, d.marking = nil, time.Time{}
			d.mu.Unlock()
			return
		}
		task := d.marks[0]
		d.marks, d.marking = d.marks[1:], time.Now()
		d.mu.Unlock()
		m, err := task.reader.markNow(task.off)
		if err == nil {
			task.reader.marked.Store(&m)
		}
		d.mu.Lock()
		task.reader.marking, task.err = false, err
		d.mu.Unlock()
		close(task.done)
	}
}

// err is an error once reads have not returned for long; until then the file system is taken to be slow.
func (d *device) err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.longest(time.Now()) >= remoteFailing {
		return errRemote
	}
	return nil
}

// idle reports whether nothing was asked of the file system that it has not answered.
func (d *device) idle() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reading == [remoteReading]time.Time{} && d.marking.IsZero()
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
			if known.idle() {
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
	data *[]byte
	n    int
	err  error
}

// remoteData holds the memory of remoteReads that were taken.
var remoteData sync.Pool

func newRemoteData(size int) *[]byte {
	data, _ := remoteData.Get().(*[]byte)
	if data == nil || cap(*data) < size {
		made := make([]byte, size)
		data = &made
	}
	*data = (*data)[:size]
	return data
}

// take copies what was read to p.
func (read *remoteRead) take(p []byte) (int, error) {
	defer remoteData.Put(read.data)
	return copy(p, (*read.data)[:read.n]), read.err
}

// ReadAtWithin is ReadAt, which waits for a file system no longer than patience, of which it takes what it needed.
func (r *reader) ReadAtWithin(p []byte, off int64, patience *time.Duration) (int, error) {
	if r.device != nil {
		return r.readRemote(p, off, patience)
	}
	return r.readNow(p, off)
}

// readRemote is ReadAt for a file system that may not answer. Until it does there is no more for now, and after a time an
// error.
func (r *reader) readRemote(p []byte, off int64, patience *time.Duration) (int, error) {
	if read := r.reading; read != nil {
		if !read.done.Load() {
			return 0, r.device.err()
		}
		r.reading = nil
		if read.off == off && read.n <= len(p) { // else the stream was returned to its checkpoint
			return read.take(p)
		}
	}
	read := &remoteRead{off: off}
	begun, ended := r.device.do(&r.turn, func() {
		read.data = newRemoteData(len(p))
		read.n, read.err = r.readNow(*read.data, off)
		read.done.Store(true)
	}, patience)
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
	patience := r.device.patience()
	task := r.device.mark(r, off)
	ended := task != nil && patience > 0 && await(task.done, patience)
	if m := *r.marked.Load(); m != nil {
		return m, nil
	}
	if !ended {
		return nil, errRemote
	}
	return nil, task.err
}
