// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/stream"
	"github.com/remora-logs/remora/shared/stream/framestest"
)

// rig is a spool without its goroutines, a clock that the test moves, a log, and a pipe into it.
type rig struct {
	*testing.T
	dir   string
	clock time.Time
	said  strings.Builder
	spool *Spool
	log   *Log
	pipe  [2]int
}

func newRig(t *testing.T, o LogOptions) *rig {
	t.Helper()
	r := &rig{T: t, dir: filepath.Join(t.TempDir(), "streams"), clock: time.Unix(1e9, 0)}
	require.NoError(t, unix.Pipe2(r.pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC))
	t.Cleanup(func() { unix.Close(r.pipe[0]); unix.Close(r.pipe[1]) })
	r.open()
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 30
	}
	if o.Views == nil {
		o.Views = map[string]int64{"v": 0}
	}
	var err error
	r.log, err = r.spool.Create("c-1", []byte(`{"a":1}`), o)
	require.NoError(t, err)
	return r
}

func (r *rig) open() {
	r.spool = newSpool(Options{Dir: r.dir, MaxBytes: 1 << 30, Log: slog.New(slog.NewTextHandler(&r.said, nil))})
	r.spool.now = func() time.Time { return r.clock }
	r.spool.segmentSize = 4 << 10
	require.NoError(r, os.MkdirAll(r.dir, 0o700))
}

// reopen is what follows a SIGKILL.
func (r *rig) reopen(o LogOptions) {
	r.Helper()
	closeAll(r.log)
	r.open()
	var err error
	r.log, err = r.spool.Resume("c-1", o)
	require.NoError(r, err)
}

// write puts n lines of 100 bytes into the pipe and takes them into the log.
func (r *rig) write(n int) {
	r.Helper()
	for i := range n {
		_, err := unix.Write(r.pipe[1], framestest.Line("%0100d", i))
		require.NoError(r, err)
		if i%100 == 99 {
			r.take()
		}
	}
	r.take()
}

// take takes as capture does: it waits where it is told to, and maintenance runs meanwhile.
func (r *rig) take() {
	r.Helper()
	for {
		if pause := r.log.Backpressure(); pause > 0 {
			r.clock = r.clock.Add(pause)
			r.spool.maintain(false)
			continue
		}
		_, err := r.log.Take(r.pipe[0])
		switch {
		case errors.Is(err, ErrEmpty):
			return
		case errors.Is(err, ErrFull):
			r.clock = r.clock.Add(2 * time.Millisecond)
			r.spool.maintain(false)
		default:
			require.NoError(r, err)
		}
	}
}

// read reads the view to where it ends now, and counts frames and what gaps say.
func (r *rig) read(name string, off int64) (frames int64, gaps []stream.Gap, end int64) {
	r.Helper()
	p := make([]byte, 8<<10)
	for {
		n, err := r.log.View(name).ReadAt(p, off)
		var gap *stream.Gap
		if errors.As(err, &gap) {
			gaps = append(gaps, *gap)
			off = gap.To
			continue
		}
		if err != nil && err != io.EOF {
			require.NoError(r, err)
		}
		rest := p[:n]
		for ok := true; ok; {
			if _, rest, ok = framestest.Next(rest); ok {
				frames++
			}
		}
		if off += int64(n - len(rest)); n == len(rest) {
			return frames, gaps, off
		}
	}
}

// closeAll closes a log's files, as the end of the process does.
func closeAll(l *Log) {
	for _, g := range *l.segments.Load() {
		g.close()
	}
}

// feed puts n lines of 100 bytes into the pipe.
func (r *rig) feed(n int) {
	r.Helper()
	for i := range n {
		_, err := unix.Write(r.pipe[1], framestest.Line("%0100d", i))
		require.NoError(r, err)
	}
}
