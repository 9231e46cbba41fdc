// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/handover"
	"github.com/remora-logs/remora/shared/spool"
)

// An agent that appears while a full spool holds capture up is given the descriptors nevertheless: if the process that captures
// were killed, nobody else would have them.
func TestDescriptorsAreOfferedWhileCaptureIsHeldUp(t *testing.T) {
	dir, quiet := t.TempDir(), slog.New(slog.DiscardHandler)
	const held = 3 * time.Second
	require.NoError(t, spool.PublishLimits(dir, spool.Limits{MaxBytes: 1 << 20, MaxBytesEach: 1 << 20}))
	s := spool.OpenWriter(spool.Options{Dir: dir, MaxBytes: 1 << 20, Log: quiet})
	out, in, err := os.Pipe()
	require.NoError(t, err)
	defer out.Close()
	p := &Pipes{
		Pipes: []Pipe{{FD: int(out.Fd()), Std: spool.Stdout}}, Interval: time.Millisecond, Log: quiet,
		Open: func() (*spool.Log, error) {
			return s.Write("k", []byte("{}"), spool.LogOptions{Raw: true, MaxBytes: 1 << 20, WhenFull: spool.Block, BlockTimeout: held})
		},
		Offer: handover.NewOffer(dir, "k", [handover.Streams]int{int(out.Fd()), int(out.Fd())}),
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Run() }()
	require.NoError(t, in.SetWriteDeadline(time.Now().Add(held/6)))
	_, err = in.Write(bytes.Repeat([]byte("x"), 16<<20))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "capture is held up")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, handover.SocketName), Net: "unix"})
	require.NoError(t, err)
	defer l.Close()
	require.NoError(t, l.SetDeadline(time.Now().Add(held/2)))
	conn, failed := l.AcceptUnix()
	require.NoError(t, in.Close())
	<-ended // with a gap, perhaps
	require.NoError(t, failed)
	require.NoError(t, conn.Close())
}
