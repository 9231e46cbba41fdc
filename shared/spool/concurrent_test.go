// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/stream/framestest"
)

// Capture, delivery and maintenance all at once, as fast as they can: maintenance gives back what was released while bytes
// are appended behind it, and never takes one that was not read.
func TestAllAtOnce(t *testing.T) {
	s := newSpool(Options{Dir: filepath.Join(t.TempDir(), "streams"), MaxBytes: 1 << 30, Log: slog.New(slog.DiscardHandler)})
	s.segmentSize, s.punchAtLeast = 64<<10, 4<<10
	l, err := s.Create("c-1", nil, LogOptions{MaxBytes: 1 << 30, Views: map[string]int64{"v": 0}})
	require.NoError(t, err)
	var pipe [2]int
	require.NoError(t, unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	const lines = 100_000
	go func() { // the container
		defer unix.Close(pipe[1])
		for i := range lines {
			if _, err := unix.Write(pipe[1], framestest.Line("%d", i)); err != nil {
				t.Error(err)
			}
		}
	}()
	go func() { // capture
		for {
			if _, err := l.Take(pipe[0]); err == io.EOF {
				l.Finish()
				return
			}
		}
	}()
	ctx, stop := context.WithCancel(context.Background())
	historyOnly := make(chan struct{})
	go func() { // maintenance
		defer close(historyOnly)
		for ctx.Err() == nil {
			s.maintain(true)
		}
	}()
	deadline := time.Now().Add(time.Minute)
	v, p, off, next := l.View("v"), make([]byte, 100<<10), int64(0), 0
	for {
		require.True(t, time.Now().Before(deadline), "stuck at line %d", next)
		n, err := v.ReadAt(p, off)
		if err != nil && err != io.EOF {
			require.NoError(t, err)
		}
		for data := p[:n]; ; next++ {
			_, rest, ok := framestest.Next(data)
			if !ok {
				break
			}
			require.True(t, bytes.HasPrefix(data, framestest.Line("%s", fmt.Sprint(next))), "line %d at %d is damaged", next, off)
			off += int64(len(data) - len(rest))
			data = rest
		}
		v.Release(off)
		if err == io.EOF {
			break
		}
	}
	stop()
	<-historyOnly
	require.Equal(t, lines, next)
	unix.Close(pipe[0])
}
