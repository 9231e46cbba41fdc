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

// A read of a file on another machine, or in a file system that a user-space process serves, may never return. A shard of the
// pipeline that waited for it would hold up all its streams. So a goroutine reads the file, and the shard only waits a moment.

const (
	// remotePatience bounds how long ReadAt and Mark wait for such a read: enough for a server nearby, and little enough for a
	// shard. They do not wait at all for a file system whose reads take longer.
	remotePatience = 20 * time.Millisecond
	// remoteReading bounds the reads of one file system that have not returned. Each may hold a thread. Further readers wait in
	// a queue.
	remoteReading = 4
	// remoteAbsent is how long a stream stays in the queue without asking again.
	remoteAbsent = time.Second
	// remoteMarks bounds the marks of one file system that wait to be made.
	remoteMarks = 4096
	// remoteFailing is the time after which a read that has not returned counts as an error, not as slow.
	remoteFailing = 10 * time.Second
	// remoteDevices is the number of file systems from which on idle ones are dropped.
	remoteDevices = 256
)

var errRemote = errors.New("its file system does not answer; check the server or the process behind the mount")

// local holds the types of file systems, as statfs(2) reports them (linux/magic.h), that only the local kernel serves.
var local = map[int64]bool{
	unix.EXT4_SUPER_MAGIC: true, unix.XFS_SUPER_MAGIC: true, unix.BTRFS_SUPER_MAGIC: true, unix.F2FS_SUPER_MAGIC: true,
	unix.TMPFS_MAGIC: true, unix.RAMFS_MAGIC: true, unix.OVERLAYFS_SUPER_MAGIC: true, unix.SQUASHFS_MAGIC: true,
	unix.EROFS_SUPER_MAGIC_V1: true, unix.MSDOS_SUPER_MAGIC: true, unix.PROC_SUPER_MAGIC: true, unix.SYSFS_MAGIC: true,
	0x2fc12fc1: true, // ZFS
	0xca451a4e: true, // bcachefs
}

// isRemote reports whether the file system of an open file may wait for another machine or a process. A file system of unknown
// type may.
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
	reading [remoteReading]time.Time // since when each place is taken; zero if it is free
	took    time.Duration            // how long the last read that returned took
	queue   []*turn                  // readers that wait for a place, in order
	marks   []*markTask              // waiting to be made, one after the other
	marking time.Time                // since when one is being made; zero if none is
}

// turn is a reader's place in the queue of a device, whose mu guards it.
type turn struct {
	queued bool
	asked  time.Time // when it last asked for a place
}

// do calls f in a new goroutine if it is t's turn. It waits for its end for at most *patience, and subtracts from it the time
// that it waited.
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

// await reports whether done is closed within the given time.
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

// patience returns how long it is worth waiting for the file system: 0 if its last read, or one that has not returned, took
// longer than remotePatience.
func (d *device) patience() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.took > remotePatience || d.longest(time.Now()) >= remotePatience {
		return 0
	}
	return remotePatience
}

// longest returns how long the oldest unanswered request has been under way. The caller holds d.mu.
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

// begin calls f in a new goroutine if there is a free place and it is t's turn.
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
			d.took = 0 // an outage says nothing about how long reads take afterwards
		}
	}()
	return ended, true
}

// mayBegin reports whether t may take one of the free places, which belong to the first in the queue. If not, t joins the queue.
// The caller holds d.mu.
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
	if len(d.queue) == cap(d.queue) { // before it grows, drop those that are gone
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

// markTask is a request to make a mark of a reader's stream at off.
type markTask struct {
	reader *reader
	off    int64
	done   chan struct{}
	err    error // valid once done is closed
}

// mark schedules making r's mark, after those that were requested before. It returns nil if one of r is scheduled already, or if
// there are too many.
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

// makeMarks makes the scheduled marks until none is left.
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

// err returns an error if a request has been unanswered for remoteFailing; until then the file system counts as slow.
func (d *device) err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.longest(time.Now()) >= remoteFailing {
		return errRemote
	}
	return nil
}

// idle reports whether the file system has answered all requests.
func (d *device) idle() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reading == [remoteReading]time.Time{} && d.marking.IsZero()
}

// devices holds the file systems that may not answer, by device number.
type devices struct {
	mu       sync.Mutex
	byNumber map[uint64]*device
}

// of returns the file system of a generation; nil if its file is not open or remote reports false for it.
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

// remoteRead is a ReadAt in a goroutine. It has its own memory, because the caller may be gone when it returns.
type remoteRead struct {
	off  int64
	done atomic.Bool
	data *[]byte
	n    int
	err  error
}

// remoteData holds the memory of remoteReads whose data was taken.
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

// take copies the data to p and frees its memory.
func (read *remoteRead) take(p []byte) (int, error) {
	defer remoteData.Put(read.data)
	return copy(p, (*read.data)[:read.n]), read.err
}

// ReadAtWithin is ReadAt, but waits for a remote file system for at most *patience and subtracts from it the time that it waited.
func (r *reader) ReadAtWithin(p []byte, off int64, patience *time.Duration) (int, error) {
	if r.device != nil {
		return r.readRemote(p, off, patience)
	}
	return r.readNow(p, off)
}

// readRemote is ReadAt for a file system that may not answer. Until it answers, readRemote returns no bytes, and an error once it
// counts as failing.
func (r *reader) readRemote(p []byte, off int64, patience *time.Duration) (int, error) {
	if read := r.reading; read != nil {
		if !read.done.Load() {
			return 0, r.device.err()
		}
		r.reading = nil
		if read.off == off && read.n <= len(p) { // else the reader has returned to its checkpoint
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

// markRemote is Mark for a file system that may not answer. Until it answers, markRemote returns the previous mark, or an error
// if there is none.
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
