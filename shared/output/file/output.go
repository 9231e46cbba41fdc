// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/record"
)

const (
	// maxOpen is how many files are kept open between batches; a plugin's limit is 1024 descriptors in the worst case.
	maxOpen = 256
	// chunk is how much is collected before it is written.
	chunk = 64 << 10
)

// Output appends to files. Batches are written one at a time, for the order of lines in a file is theirs.
type Output struct {
	config  Config
	pattern pattern
	perm    fs.FileMode

	mu    sync.Mutex
	enc   record.Encoder
	files map[string]*file // by name below FILE_PATH
	batch uint64           // counts batches
	name  []byte           // scratch
}

// Open makes the output, and the directory where it is missing.
func Open(c Config) (*Output, error) {
	p, err := parsePattern(c.Name)
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
	return &Output{config: c, pattern: p, perm: perm, files: make(map[string]*file)}, nil
}

// Write appends b's records, each to its file, and returns when they are on the disk, unless FILE_SYNC is off. Where a
// file can't be written, only its records are to be sent again.
func (o *Output) Write(ctx context.Context, b *record.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o.mu.Lock()
	written, verdict := o.append(b)
	o.mu.Unlock()
	if o.config.Sync {
		if err := syncAll(written); err != nil {
			return err
		}
	}
	return verdict
}

// append writes b to its files and returns the handles of those that could be written.
func (o *Output) append(b *record.Batch) (written []*os.File, verdict error) {
	o.batch++
	var (
		f       *file
		last    *record.Source
		touched []*file
		failed  error
	)
	for i := range b.Records {
		r := &b.Records[i]
		if r.Source != last {
			last = r.Source
			if f = o.file(r.Source); f.used != o.batch {
				f.begin(o.perm, o.batch)
				touched = append(touched, f)
			}
		}
		if f.failed == nil {
			o.add(f, r, i)
		}
	}
	for _, f := range touched {
		if err := f.flush(); err != nil {
			failed = errors.Join(failed, err)
		} else {
			written = append(written, f.handle)
		}
		if cap(f.pending) > 2*chunk { // a very long record; others need not pay for it
			f.pending = nil
		}
	}
	if failed != nil {
		verdict = o.verdict(b, failed)
	}
	o.shrink()
	return written, verdict
}

// add appends r, record i of its batch, to f, and rotates f before it where it would become too large.
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
		f.pending = append(f.pending, tail...)
	}
	if len(f.pending) >= chunk {
		_ = f.flush() // kept in f.failed
	}
}

// file is the file for records of s.
func (o *Output) file(s *record.Source) *file {
	o.name = o.pattern.appendName(o.name[:0], s)
	f, ok := o.files[string(o.name)]
	if !ok {
		name := string(o.name)
		f = &file{path: filepath.Join(o.config.Path, name)}
		o.files[name] = f
	}
	return f
}

// verdict names the records that are not in their file.
func (o *Output) verdict(b *record.Batch, cause error) error {
	verdict := &output.Partial{Cause: cause}
	for i := range b.Records {
		if f := o.file(b.Records[i].Source); f.failed != nil && i >= f.since {
			verdict.Retry = append(verdict.Retry, i)
		}
	}
	return verdict
}

// shrink closes files that this batch did not touch where too many are open.
func (o *Output) shrink() {
	for name, f := range o.files {
		if len(o.files) <= maxOpen {
			return
		}
		if f.used != o.batch {
			_ = f.close()
			delete(o.files, name)
		}
	}
}

// syncAll brings what was written to the disk, several files at a time, since each waits for the same disk. A handle
// that was closed meanwhile was synced when its file was rotated.
func syncAll(handles []*os.File) error {
	const atOnce = 16
	var (
		wg    sync.WaitGroup
		turns = make(chan struct{}, atOnce)
		errs  = make([]error, len(handles))
	)
	for i, h := range handles {
		turns <- struct{}{}
		wg.Go(func() {
			if err := datasync(h); !errors.Is(err, os.ErrClosed) {
				errs[i] = err
			}
			<-turns
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Close closes the files.
func (o *Output) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	for _, f := range o.files {
		errs = append(errs, f.close())
	}
	clear(o.files)
	return errors.Join(errs...)
}
