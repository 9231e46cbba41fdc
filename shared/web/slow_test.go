// SPDX-License-Identifier: Apache-2.0

package web

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/config"
)

// oneConn is a listener of a single connection.
type oneConn struct {
	conn chan net.Conn
	done chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *oneConn) Close() error   { close(l.done); return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{} }

// dial serves h to a connection in memory.
func dial(t *testing.T, h http.Handler) (client net.Conn, stop func()) {
	client, server := net.Pipe()
	l := &oneConn{make(chan net.Conn, 1), make(chan struct{})}
	l.conn <- server
	s := &http.Server{Handler: h, WriteTimeout: answerTime, ReadTimeout: answerTime}
	go func() { _ = s.Serve(l) }()
	return client, func() { _ = client.Close(); _ = s.Close() }
}

// Who opens a tail and does not read is cut off; nobody's delivery waits meanwhile.
func TestWhoDoesNotReadIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p tapped
		page := testPage(Access{})
		page.options.Tails.SetTap = p.set
		client, stop := dial(t, &socketPage{page})
		defer stop()
		_, err := io.WriteString(client, "GET /api/tail HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		_, err = client.Read(make([]byte, 4096))
		require.NoError(t, err)
		synctest.Wait()
		require.True(t, p.on())
		for range 60 {
			p.tap("o", lines(source("web", "a"), 1000, "line"), all)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		require.False(t, p.on())
	})
}

// A tail outlives the time that other answers have, and ends when the token is changed.
func TestATailEndsWithItsToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, os.WriteFile(path, []byte(token), 0o600))
		var c config.Common
		require.NoError(t, config.Load(map[string]string{"REMORA_LISTEN_TOKEN_FILE": path}, &c))
		var p tapped
		page := testPage(Access{Listener: c.Listener})
		page.options.Tails.SetTap = p.set
		client, stop := dial(t, newGate(page, ":9750"))
		defer stop()
		_, err := io.WriteString(client, "GET /api/tail HTTP/1.1\r\nHost: 10.0.0.1\r\nAuthorization: Bearer "+token+"\r\n\r\n")
		require.NoError(t, err)
		read := make(chan int)
		go func() {
			defer close(read)
			n, _ := io.Copy(io.Discard, client)
			read <- int(n)
		}()
		time.Sleep(10 * answerTime)
		synctest.Wait()
		require.True(t, p.on(), "it lives")
		require.NoError(t, os.WriteFile(path, []byte("another-"+token), 0o600))
		time.Sleep(2 * aliveEvery)
		require.Positive(t, <-read)
		synctest.Wait()
		require.False(t, p.on())
	})
}
