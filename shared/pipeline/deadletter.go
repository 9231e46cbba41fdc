// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/remora-logs/remora/shared/record"
)

// deadLetters is a file of records that will not be delivered: one JSON object per line, with output, reason, identity and
// record. At its limit it is renamed to NAME.1, so that both files take at most twice the limit.
type deadLetters struct {
	path  string
	limit int64

	mu   sync.Mutex
	file *os.File
	size int64
	line []byte
	enc  record.Encoder
	err  error // of the last put
}

// put appends the record. Without a path it does nothing. Of successive failures it returns only the first.
func (d *deadLetters) put(output string, r *record.Record, reason string) error {
	if d.path == "" {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	failing := d.err != nil
	if d.err = d.write(output, r, reason); d.err == nil || failing {
		return nil
	}
	return fmt.Errorf("dead letters: %w", d.err)
}

func (d *deadLetters) write(output string, r *record.Record, reason string) error {
	b := append(d.line[:0], `{"output":`...)
	b = record.AppendString(b, output)
	b = record.AppendString(append(b, `,"reason":`...), reason)
	b = append(b, `,"id":"`...)
	b = r.AppendID(b)
	b = d.enc.AppendRecord(append(b, `","record":`...), r)
	d.line = append(b, '}', '\n')
	if err := d.open(int64(len(d.line))); err != nil {
		return err
	}
	n, err := d.file.Write(d.line)
	if err != nil && n > 0 { // a full disk takes a part of a line, to which the next one must not be appended
		if d.file.Truncate(d.size) == nil {
			n = 0
		}
	}
	d.size += int64(n)
	return err
}

// open opens the file, or a new one if there is no room for n more bytes.
func (d *deadLetters) open(n int64) error {
	if d.file != nil && d.size > 0 && d.size+n > d.limit {
		err := errors.Join(d.file.Close(), os.Rename(d.path, d.path+".1"))
		d.file = nil
		if err != nil {
			return err
		}
	}
	if d.file != nil {
		return nil
	}
	file, err := os.OpenFile(d.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	d.file, d.size = file, info.Size()
	return nil
}

func (d *deadLetters) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file != nil {
		_ = d.file.Close() // nothing is buffered
		d.file = nil
	}
}
