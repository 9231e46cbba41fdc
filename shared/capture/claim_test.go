// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/handover"
	"github.com/remora-logs/remora/shared/spool"
)

// one makes the capture of one pipe, and returns its writing end.
func one(t *testing.T, open func() (*spool.Log, error)) (*Pipes, *os.File) {
	t.Helper()
	out, in, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { out.Close(); in.Close() })
	return &Pipes{Pipes: []Pipe{{FD: int(out.Fd()), Std: spool.Stdout}}, Interval: time.Millisecond, Open: open,
		Log: slog.New(slog.DiscardHandler)}, in
}

// run runs a capture that has to end by itself.
func run(t *testing.T, p *Pipes) error {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- p.Run() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(10 * time.Second):
		require.FailNow(t, "it reads")
		return nil
	}
}

func unread(t *testing.T, f *os.File) int {
	t.Helper()
	n, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCINQ)
	require.NoError(t, err)
	return n
}

// A standby reads nothing while another process may read: not while it can't find that out, and not while one does, whatever
// the spool's own state is. Once it knows that it is alone it discards what a spool can't take.
func TestAStandbyReadsOnlyIfItIsAlone(t *testing.T) {
	full := &os.PathError{Op: "open", Path: "lock", Err: unix.ENOSPC}
	p, in := one(t, func() (*spool.Log, error) { return nil, full })
	_, err := in.WriteString("somebody else's\n")
	require.NoError(t, err)

	p.reopen = func(int) (int, error) { return -1, unix.EMFILE }
	require.ErrorIs(t, run(t, p), spool.ErrLocked)
	require.Equal(t, 16, unread(t, in))

	p.reopen = nil
	other, err := reopenPipe(p.Pipes[0].FD)
	require.NoError(t, err)
	require.NoError(t, unix.Flock(other, unix.LOCK_EX))
	p.tried = time.Time{}
	require.ErrorIs(t, run(t, p), spool.ErrLocked)
	require.Equal(t, 16, unread(t, in))

	require.NoError(t, unix.Close(other)) // the other process has died
	p.tried = time.Time{}
	require.NoError(t, in.Close())
	var lost *LostError
	require.ErrorAs(t, run(t, p), &lost)
	require.EqualValues(t, 1, lost.Lines)
}

// The process that containerd started keeps its container running though it can't have the claim, and gives the descriptors
// to nobody until it has.
func TestASoleProcessOffersNothingWithoutAClaim(t *testing.T) {
	dir := t.TempDir()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, handover.SocketName), Net: "unix"})
	require.NoError(t, err)
	defer l.Close()
	p, in := one(t, func() (*spool.Log, error) { return nil, errors.New("no spool") })
	var may atomic.Bool
	p.Sole = true
	p.reopen = func(fd int) (int, error) {
		if !may.Load() {
			return -1, unix.EMFILE
		}
		return reopenPipe(fd)
	}
	p.Offer = handover.NewOffer(dir, "k", [handover.Streams]int{p.Pipes[0].FD, p.Pipes[0].FD})
	ended := make(chan error, 1)
	go func() { ended <- p.Run() }()
	_, err = in.Write(bytes.Repeat([]byte("x"), 1<<20)) // far more than the pipe holds
	require.NoError(t, err)
	require.NoError(t, l.SetDeadline(time.Now().Add(2*handover.Interval)))
	_, err = l.AcceptUnix()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	may.Store(true)
	require.NoError(t, l.SetDeadline(time.Now().Add(10*time.Second)))
	conn, err := l.AcceptUnix()
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.NoError(t, in.Close())
	var lost *LostError
	require.ErrorAs(t, <-ended, &lost)
}

// A disk takes as long as it likes to sync: the container writes meanwhile, and no second sync waits behind the first.
func TestCaptureDoesNotWaitForASync(t *testing.T) {
	s := spool.OpenWriter(spool.Options{Dir: t.TempDir(), MaxBytes: 1 << 30, Log: slog.New(slog.DiscardHandler)})
	p, in := one(t, func() (*spool.Log, error) {
		return s.Write("k", []byte("{}"), spool.LogOptions{Raw: true, MaxBytes: 1 << 30})
	})
	var syncs atomic.Int32
	began, disk := make(chan struct{}, 100), make(chan struct{})
	p.syncLog = func(*spool.Log) error {
		syncs.Add(1)
		began <- struct{}{}
		<-disk
		return nil
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Run() }()
	_, err := in.WriteString("first\n")
	require.NoError(t, err)
	<-began
	require.NoError(t, in.SetWriteDeadline(time.Now().Add(20*time.Second)))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(tendInterval + tendInterval/2); time.Now().Before(until); <-tick.C { // past the next sync
		_, err := in.Write(bytes.Repeat([]byte("x"), 64<<10))
		require.NoError(t, err, "the container waits for the disk")
	}
	require.EqualValues(t, 1, syncs.Load())
	close(disk)
	require.NoError(t, in.Close())
	require.NoError(t, <-ended)
}
