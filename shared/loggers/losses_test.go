// SPDX-License-Identifier: Apache-2.0

package loggers

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/handover"
	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/spool"
)

// A loss waits until there is room for it, and says then whose it was.
func TestALossWaitsForRoom(t *testing.T) {
	dir := t.TempDir()
	c := &manifest.Container{Runtime: "containerd", ID: "c1", Env: []string{"aliyun_logs_orders=stdout"}}
	text, err := c.Encode()
	require.NoError(t, err)
	key := c.Key()
	s := &Source{opt: Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Limits: spool.Limits{MaxBytes: 1 << 30, MaxBytesEach: 1 << 30}}}
	s.losses.add(key, handover.Loss{Bytes: 12, Lines: 3, Manifest: text})
	s.losses.add("c-2", handover.Loss{Bytes: 1, Manifest: []byte("not a manifest")})
	full := errors.New("disk full")
	s.losses.store(func(string, handover.Loss) error { return full })
	require.Len(t, s.losses.all, 2)

	blocked := filepath.Join(dir, key)
	require.NoError(t, os.WriteFile(blocked, nil, 0o600)) // in the place of the log
	for range 64 {                                        // in either order
		s.losses.store(s.storeLoss)
	}
	require.Len(t, s.losses.all, 1)
	require.True(t, spool.Ended(dir, "c-2"))
	require.NoError(t, os.Remove(blocked))
	s.losses.store(s.storeLoss)
	require.Empty(t, s.losses.all)
	require.True(t, spool.Ended(dir, key))
	stored, err := spool.OpenWriter(spool.Options{Dir: dir, Log: s.opt.Log}).Stored()
	require.NoError(t, err)
	require.Len(t, stored, 2)
	for _, found := range stored {
		got, err := manifest.DecodeContainer(found.Manifest)
		require.NoError(t, err, found.Key)
		require.Equal(t, found.Key == key, len(got.Env) == 1)
	}
}

func TestLossesAreBounded(t *testing.T) {
	var l losses
	for i := range 10 * maxLosses {
		l.add(fmt.Sprint(i), handover.Loss{Bytes: 1})
	}
	require.Len(t, l.all, maxLosses)
}

// What was sent is what is read, though neither side waits; of a manifest that is too large the count is left.
func TestLossIsSent(t *testing.T) {
	for _, size := range []int{0, 100, handover.MaxLoss - 100, handover.MaxLoss + 1} {
		got := make(chan handover.Loss, 1)
		a := serve(t, func(a *Agent) {
			a.Ended = func(string) bool { return false } // no log, no mark: all the same no process may be started
			a.Lost = func(_ string, l handover.Loss) { got <- l }
		})
		fds := pipes(t, 2)
		o := handover.NewOffer(a.Dir, "c-1", [handover.Streams]int{fds[0], fds[1]})
		manifest := strings.Repeat("m", size)
		require.NoError(t, o.SendLoss(handover.Loss{Bytes: 10, Lines: 2, Manifest: []byte(manifest)}))
		unix.Close(o.FD())
		l := <-got
		require.EqualValues(t, 10, l.Bytes)
		require.EqualValues(t, 2, l.Lines)
		if size > handover.MaxLoss {
			manifest = ""
		}
		require.Equal(t, manifest, string(l.Manifest))
		require.Eventually(t, func() bool { return !a.Holds("c-1") }, 5*time.Second, time.Millisecond)
	}
}

func TestLossesThatAreRefused(t *testing.T) {
	for _, text := range []string{"", "\n", "x", "lost 1 bytes 1 lines", "lost 0 bytes 0 lines\n", "lost -1 bytes 0 lines\n",
		"lost 1 bytes 2 lines\n", "lost 1 bytes -1 lines\n", "lost 9223372036854775807 bytes 1 lines\n",
		"lost 99999999999999999999 bytes 1 lines\n"} {
		_, err := handover.ParseLoss([]byte(text))
		require.Error(t, err, "%q", text)
	}
}
