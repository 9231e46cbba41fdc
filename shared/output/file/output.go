// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/record"
)

const (
	// mostOpen bounds the files kept open; so does a quarter of the process's limit of descriptors.
	mostOpen = 256
	// chunk is how many bytes are collected before they are written.
	chunk = 64 << 10
)

// Output appends to files. Batches are written one at a time, so that the lines of a file are in their order.
type Output struct {
	config  Config
	root    root
	pattern pattern
	perm    fs.FileMode
	maxOpen int
	work    sync.Pool // of *workspace
	owned   owned

	mu      sync.Mutex
	enc     record.Encoder
	files   map[string]*file // the open files, by name
	journal *journal
	uses    uint64
}

// Open returns the output, and makes the directory if it is missing.
func Open(c Config) (*Output, error) {
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return nil, fmt.Errorf("FILE_TIME_ZONE: %w", err)
	}
	p, err := parsePattern(c.Name, zone)
	if err != nil {
		return nil, err
	}
	perm, err := c.permissions()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Path, 0o755); err != nil {
		return nil, fmt.Errorf("FILE_PATH: %w", err)
	}
	if err := unix.Access(c.Path, unix.W_OK|unix.X_OK); err != nil {
		return nil, fmt.Errorf("FILE_PATH: %s can't be written in: %w", c.Path, err)
	}
	o := &Output{
		config: c, root: root{c.Path}, pattern: p, perm: perm, maxOpen: maxOpen(), files: make(map[string]*file),
		owned: owned{root: c.Path},
	}
	o.work.New = func() any { return &workspace{parts: make(map[string]*part), sources: make(map[when]*part)} }
	return o, nil
}

// Remember makes the output note what it writes at path, a file of its own in the state directory, so that nothing is written
// twice after a kill. It must be called before the first Write. If it fails, records in flight at a kill are written twice, as
// by other outputs.
func (o *Output) Remember(path string) (err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.journal, err = openJournal(path, o.root.left)
	return err
}

// maxOpen returns how many files may be kept open.
func maxOpen() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 1
	}
	return int(max(1, min(mostOpen, limit.Cur/4)))
}

// part holds the records of a batch that go to one file.
type part struct {
	name   string
	index  []int // of the batch's records, ascending
	file   *file
	handle *os.File // of file when the records were written; nil if it was closed since
	failed error
	since  int // the first record that is not written, if failed is set
}

// when is a source and a period, whose records all go to one file.
type when struct {
	source *record.Source
	period int64
}

// workspace is the reusable memory of a Write.
type workspace struct {
	parts   map[string]*part
	sources map[when]*part
	order   []*part // by their first record
	spare   []*part
	name    []byte
}

// Write appends b's records, each to its file, and returns when they are on disk, unless FILE_SYNC is off. A file that can't
// be written holds back only its own records.
func (o *Output) Write(ctx context.Context, b *record.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := o.work.Get().(*workspace)
	defer o.work.Put(w)
	o.divide(w, b)
	o.mu.Lock()
	for _, p := range w.order {
		o.write(w, p, b)
	}
	o.mu.Unlock()
	if o.config.Sync {
		o.syncAll(w.order)
	}
	return o.verdict(w, b)
}

// divide groups b's records by their files.
func (o *Output) divide(w *workspace, b *record.Batch) {
	w.spare = append(w.spare, w.order...)
	w.order = w.order[:0]
	clear(w.parts)
	clear(w.sources)
	var last when
	var p *part
	for i := range b.Records {
		r := &b.Records[i]
		if of := (when{r.Source, o.pattern.period(r.Time)}); of != last {
			last = of
			if p = w.sources[of]; p == nil {
				p = o.partOf(w, of, r.Time)
			}
		}
		p.index = append(p.index, i)
	}
}

func (o *Output) partOf(w *workspace, of when, ns int64) *part {
	w.name = o.pattern.appendName(w.name[:0], of.source, ns)
	p := w.parts[string(w.name)]
	if p == nil {
		if n := len(w.spare) - 1; n >= 0 {
			p, w.spare = w.spare[n], w.spare[:n]
			*p = part{index: p.index[:0]}
		} else {
			p = new(part)
		}
		p.name = string(w.name)
		w.parts[p.name] = p
		w.order = append(w.order, p)
	}
	w.sources[of] = p
	return p
}

// write appends the records of p to their file.
func (o *Output) write(w *workspace, p *part, b *record.Batch) {
	f, err := o.file(w, p.name)
	if err != nil {
		p.failed = err
		return
	}
	f.begin()
	for _, i := range p.index {
		if r := &b.Records[i]; f.failed == nil && !o.journal.has(r) {
			o.add(f, r, i)
		}
	}
	if err := f.flush(); err != nil {
		p.failed, p.since = err, f.since
	}
	p.file, p.handle = f, f.handle
	if cap(f.pending) > 2*chunk { // after a very long record, don't keep that much memory
		f.pending = nil
	}
}

// add appends r, record i of its batch, to f. It rotates f first if f would become too large.
func (o *Output) add(f *file, r *record.Record, i int) {
	at := len(f.pending)
	f.pending = o.config.Format.Append(f.pending, &o.enc, r)
	if limit := o.config.RotateSize << 10; f.size+int64(len(f.pending)) > limit && f.size+int64(at) > 0 {
		tail := append([]byte(nil), f.pending[at:]...)
		f.pending = f.pending[:at]
		if f.flush() != nil {
			return
		}
		if f.rotate(o.config.Files, o.config.Compress == "gzip", o.perm, i) != nil {
			return
		}
		o.owned.add(f.id.inode)
		f.pending = append(f.pending, tail...)
	}
	o.journal.note(r, f.id, f.size+int64(len(f.pending)))
	if len(f.pending) >= chunk {
		_ = f.flush() // kept in f.failed
	}
}

// file returns the open file called name. If too many are open, or no descriptor is left, it closes those unused for longest,
// so that any number of files can be written with few descriptors.
func (o *Output) file(w *workspace, name string) (*file, error) {
	o.uses++
	f := o.files[name]
	if f != nil && f.inPlace() {
		f.used = o.uses
		return f, nil
	}
	if f != nil { // it was moved or removed
		o.discard(w, f)
	}
	for len(o.files) >= o.maxOpen {
		o.closeOldest(w)
	}
	f = &file{root: o.root, journal: o.journal, name: name, used: o.uses}
	err := f.open(o.perm)
	for ; noDescriptor(err) && len(o.files) > 0; err = f.open(o.perm) {
		o.closeOldest(w)
	}
	if err != nil {
		return nil, err
	}
	o.files[name] = f
	o.owned.add(f.id.inode)
	return f, nil
}

func noDescriptor(err error) bool { return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) }

func (o *Output) closeOldest(w *workspace) {
	var oldest *file
	for _, f := range o.files {
		if oldest == nil || f.used < oldest.used {
			oldest = f
		}
	}
	o.discard(w, oldest)
}

// discard closes f. If this batch has written to f, a failed sync is a failure of the batch.
func (o *Output) discard(w *workspace, f *file) {
	err := f.close()
	if p := w.parts[f.name]; p != nil && p.handle != nil {
		if p.handle = nil; p.failed == nil {
			p.failed = err
		}
	}
	delete(o.files, f.name)
}

// syncAll syncs the files that were written to, several at a time, because each waits for the same disk.
func (o *Output) syncAll(parts []*part) {
	const atOnce = 16
	var wg sync.WaitGroup
	turns := make(chan struct{}, atOnce)
	for _, p := range parts {
		if p.handle == nil {
			continue
		}
		turns <- struct{}{}
		wg.Go(func() {
			err := datasync(p.handle)
			if errors.Is(err, os.ErrClosed) { // by another batch, which synced it before
				o.mu.Lock()
				err = p.file.unsynced
				o.mu.Unlock()
			}
			if err != nil && p.failed == nil {
				p.failed = err
			}
			<-turns
		})
	}
	wg.Wait()
}

// verdict returns the verdict on b, which names the records that are not in their file.
func (o *Output) verdict(w *workspace, b *record.Batch) error {
	v := &output.Partial{}
	for _, p := range w.order {
		switch {
		case p.failed == nil:
			continue
		case errors.Is(p.failed, errOutput):
			if len(w.order) == 1 || allFailed(w.order) {
				return p.failed
			}
			fallthrough
		case noDescriptor(p.failed), errors.Is(p.failed, unix.ENOMEM), errors.Is(p.failed, unix.EINTR):
			for _, i := range p.index {
				if i >= p.since {
					v.Retry = append(v.Retry, i)
				}
			}
		default:
			p.block(v)
		}
		if v.Cause == nil {
			v.Cause = p.failed
		}
	}
	if v.Cause == nil {
		return nil
	}
	slices.Sort(v.Retry)
	return v
}

func allFailed(parts []*part) bool {
	return !slices.ContainsFunc(parts, func(p *part) bool { return p.failed == nil })
}

// block adds the records of p that were not written. Whatever the reason (a full quota, missing rights, a link), an operator
// has to mend it, and other files can be written meanwhile.
func (p *part) block(v *output.Partial) {
	destination, reason := string(appendDestination(nil, p.name)), p.failed.Error()
	for _, i := range p.index {
		if i >= p.since {
			v.Blocked = append(v.Blocked, output.Blockage{Index: i, Destination: destination, Reason: reason})
		}
	}
}

// AppendDestination implements output.Addressed.
func (o *Output) AppendDestination(dst []byte, r *record.Record) []byte {
	return appendDestination(dst, string(o.pattern.appendName(nil, r.Source, r.Time)))
}

func appendDestination(dst []byte, name string) []byte {
	const kind = "file "
	return append(append(dst, kind...), name[:min(len(name), output.MaxDestination-len(kind))]...)
}

// Owns reports whether this output writes or wrote the file at path, with this device and inode. Such a file must not be
// collected, because what is read from it would be written to it again.
func (o *Output) Owns(path string, dev, ino uint64) bool { return o.owned.has(path, inode{dev, ino}) }

// Close closes the files. All that was written is acknowledged, and is not sent again.
func (o *Output) Close() error { return o.close((*journal).close) }

// Yield closes the files while some of what was written may be sent again, to another process, or to another output that is
// given the same file to Remember.
func (o *Output) Yield() error { return o.close((*journal).abandon) }

func (o *Output) close(end func(*journal) error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	for _, f := range o.files {
		errs = append(errs, f.close())
	}
	clear(o.files)
	errs = append(errs, end(o.journal))
	o.journal = nil
	return errors.Join(errs...)
}

// Check returns how much space is free. Open has already checked that the directory can be written in.
func (o *Output) Check(context.Context) (saw string, err error) {
	var room unix.Statfs_t
	if err := unix.Statfs(o.config.Path, &room); err != nil {
		return "", fmt.Errorf("%s: %w", o.config.Path, err)
	}
	return fmt.Sprintf("%s can be written in; %d MiB are free", o.config.Path, room.Bavail*uint64(room.Bsize)>>20), nil
}
