// SPDX-License-Identifier: Apache-2.0

// Package console is the output that writes records to standard output, one line each.
package console

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/remora-logs/remora/shared/output/internal/line"
	"github.com/remora-logs/remora/shared/record"
)

// Config holds the output's settings.
type Config struct {
	Format line.Format `env:"CONSOLE_FORMAT" envDefault:"json" doc:"json writes each record as a JSON object on a line; raw writes the line as the application wrote it"`
}

// Check reports a format that does not exist.
func (c *Config) Check() error { return c.Format.Check("CONSOLE_FORMAT") }

// Output writes to standard output. What a pipe's reader has not read yet counts as taken, since no more can be known.
type Output struct {
	format  line.Format
	w       io.Writer
	turn    chan struct{} // holds one token, which Write takes to write
	torn    bool          // the last write ended within a line; guarded by turn
	buffers sync.Pool     // of *buffer
}

type buffer struct {
	enc   record.Encoder
	bytes []byte
}

// Open returns the output.
func Open(c Config) (*Output, error) { return open(c, os.Stdout), nil }

func open(c Config, w io.Writer) *Output {
	o := &Output{format: c.Format, w: w, turn: make(chan struct{}, 1)}
	o.buffers.New = func() any { return new(buffer) }
	o.turn <- struct{}{}
	return o
}

// Write writes b in one call, so that lines of different batches never mix. It blocks as long as the reader of a pipe does not
// read. If ctx ends first, the write continues by itself, and the batch, sent again, appears twice.
func (o *Output) Write(ctx context.Context, b *record.Batch) error {
	select {
	case <-o.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	buf := o.buffers.Get().(*buffer)
	buf.bytes = buf.bytes[:0]
	if o.torn {
		buf.bytes = append(buf.bytes, '\n')
	}
	for i := range b.Records {
		buf.bytes = o.format.Append(buf.bytes, &buf.enc, &b.Records[i])
	}
	done := make(chan error, 1)
	go func() {
		n, err := o.w.Write(buf.bytes)
		o.torn = err != nil && (n > 0 && buf.bytes[n-1] != '\n' || n == 0 && o.torn)
		o.buffers.Put(buf)
		o.turn <- struct{}{}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close leaves standard output open: it is not ours.
func (o *Output) Close() error { return nil }

// Check has nothing to check.
func (o *Output) Check(context.Context) (saw string, err error) {
	return "writes to standard output", nil
}
