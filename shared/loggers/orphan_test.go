// SPDX-License-Identifier: Apache-2.0

package loggers

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/spool"
	"github.com/remora-logs/remora/shared/stream"
)

// A writer took everything and could not make the mark that its log has ended, or was killed while the disk took long to sync.
// Nothing is missing, so the log ends without a gap; that of a writer which was killed under way ends with one.
func TestALogWithoutItsMarkLacksNothing(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	for _, ended := range []bool{true, false} {
		dir := t.TempDir()
		c := &manifest.Container{Runtime: "containerd", ID: "c1"}
		text, err := c.Encode()
		require.NoError(t, err)
		key := c.Key()
		w, err := spool.OpenWriter(spool.Options{Dir: dir, MaxBytes: 1 << 30, Log: quiet}).
			Write(key, text, spool.LogOptions{Raw: true, MaxBytes: 1 << 30})
		require.NoError(t, err)
		out, in, err := os.Pipe()
		require.NoError(t, err)
		defer out.Close()
		defer in.Close()
		_, err = in.WriteString("line\n")
		require.NoError(t, err)
		_, err = w.TakeFrom(int(out.Fd()), spool.Stdout)
		require.NoError(t, err)
		mark := filepath.Join(dir, key, "ended")
		require.NoError(t, os.Symlink("/nowhere/at/all", mark)) // neither a file nor a link can be made under this name
		if ended {
			require.NoError(t, w.EndWriter())
		} else {
			require.NoError(t, w.CloseWriter())
		}
		require.False(t, spool.Ended(dir, key))
		require.NoError(t, os.Remove(mark))

		var log *spool.Log
		s, err := Open(Options{Dir: dir, Log: quiet, Limits: spool.Limits{MaxBytes: 1 << 30, MaxBytesEach: 1 << 30},
			Views: func(string, *manifest.Container) (views, former map[string]int64) {
				return map[string]int64{"v": 0}, nil
			},
			Attach: func(l *spool.Log, _ *manifest.Container) { log = l }})
		require.NoError(t, err)
		s.scan(t.Context())
		require.NotNil(t, log)
		s.silents[key] = time.Now().Add(-2 * orphanAfter)
		s.scan(t.Context())
		require.NoError(t, log.Refresh())
		require.True(t, log.Ended())
		n, err := log.View("v").ReadAt(make([]byte, 100), 0)
		require.Equal(t, 5, n)
		if err == nil || !errors.Is(err, io.EOF) {
			_, err = log.View("v").ReadAt(make([]byte, 100), 5)
		}
		var gap *stream.Gap
		require.Equal(t, !ended, errors.As(err, &gap), "%v", err)
		require.NoError(t, s.spool.Close(context.Background()))
	}
}
