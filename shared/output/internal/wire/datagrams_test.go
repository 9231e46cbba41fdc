// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// What fails is told to the record: the message before the one that failed may be lost, too. The next try has a new socket.
func TestDatagramsSayWhereTheyFailed(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer server.Close()
	d := NewDatagrams(server.LocalAddr().String())
	fail := errors.New("refused")
	for failing, want := range map[int]int{0: 0, 1: 0, 2: 1, 7: 6} {
		var written []int
		sent, err := d.Send(t.Context(), 8, func(w io.Writer, i int) error {
			if i == failing {
				return fail
			}
			written = append(written, i)
			_, err := fmt.Fprint(w, i)
			return err
		})
		require.ErrorIs(t, err, fail)
		require.Equal(t, want, sent)
		require.Len(t, written, failing)
	}
	ended, cancel := context.WithCancel(t.Context())
	sent, err := d.Send(ended, 3000, func(_ io.Writer, i int) error {
		if i == 10 {
			cancel()
		}
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1024, sent, "it asks now and then")
	require.NoError(t, d.Close())
	require.NoError(t, d.Close())
}
