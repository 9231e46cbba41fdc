// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/output/settings"
)

// hold opens as many connections as a listener has, each with the given beginning of a request. Where again is set it opens
// each anew as soon as it is closed. It returns when all were opened once.
func hold(t *testing.T, from, address, begin string, again bool) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	open := func() (net.Conn, error) {
		conn, err := dialer.Dial("tcp", address)
		if err == nil {
			_, err = io.WriteString(conn, begin)
		}
		return conn, err
	}
	done := make(chan struct{})
	ended := make(chan struct{}, maxConns)
	for range maxConns {
		conn, err := open()
		require.NoError(t, err)
		go func() {
			defer func() { ended <- struct{}{} }()
			for {
				_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // to see that the test is over
				_, err := conn.Read(make([]byte, 1))
				select {
				case <-done:
					_ = conn.Close()
					return
				default:
				}
				if e, ok := err.(net.Error); err == nil || ok && e.Timeout() {
					continue
				}
				_ = conn.Close()
				if !again {
					return
				}
				if conn, err = open(); err != nil {
					return
				}
			}
		}()
	}
	t.Cleanup(func() {
		close(done)
		for range maxConns {
			<-ended
		}
	})
}

// Whoever holds connections open keeps neither a probe nor a viewer from being served.
func TestProbesAreAnsweredBesideConnectionsThatAreHeld(t *testing.T) {
	for name, begin := range map[string]string{
		"a login without its body": "POST /login HTTP/1.1\r\nHost: 10.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\n",
		"a body that nobody reads": "POST /status HTTP/1.1\r\nHost: 10.0.0.1\r\nContent-Length: 100\r\n\r\n",
		"a body in chunks":         "PUT /healthz HTTP/1.1\r\nHost: 10.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"half a head":              "GET / HTTP/1.1\r\nHos",
		"nothing":                  "",
		"idle after an answer":     "GET /healthz HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			page := testPage(Access{Listener: config.Listener{Token: settings.NewSecret(token)}, Shared: true})
			server, err := page.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			t.Cleanup(func() { _ = server.Close() })
			address := server.Addr().String()

			viewer, err := net.Dial("tcp", address)
			require.NoError(t, err)
			defer viewer.Close()
			_, err = fmt.Fprintf(viewer, "GET /api/tail HTTP/1.1\r\nHost: 10.0.0.1\r\nAuthorization: Bearer %s\r\n\r\n", token)
			require.NoError(t, err)
			r, err := http.ReadResponse(bufio.NewReader(viewer), nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, r.StatusCode)

			hold(t, "127.0.0.1", address, begin, false) // where the probes come from
			hold(t, "127.0.0.2", address, begin, true)
			probe := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
			for i := range 20 {
				r, err := probe.Get("http://" + address + "/healthz")
				require.NoErrorf(t, err, "probe %d", i)
				require.Equal(t, http.StatusOK, r.StatusCode)
				_ = r.Body.Close()
			}
			require.NoError(t, viewer.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
			for err = nil; err == nil; { // what the tail has sent so far
				_, err = viewer.Read(make([]byte, 1024))
			}
			e, ok := err.(net.Error)
			require.True(t, ok && e.Timeout(), "the viewer was cut off: %v", err)
		})
	}
}

// A body that does not come is not waited for as long as an answer may take.
func TestABodyThatDoesNotComeIsNotWaitedFor(t *testing.T) {
	for _, path := range []string{"/login", "/status", "/healthz"} {
		synctest.Test(t, func(t *testing.T) {
			page := testPage(Access{Listener: config.Listener{Token: settings.NewSecret(token)}})
			client, stop := dial(t, newGate(page, ":9750"))
			defer stop()
			began := time.Now()
			_, err := io.WriteString(client, "POST "+path+" HTTP/1.1\r\nHost: 10.0.0.1\r\nContent-Length: 100\r\n"+
				"Content-Type: application/x-www-form-urlencoded\r\n\r\n")
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, client)
			require.LessOrEqual(t, time.Since(began), bodyTime+time.Second, path)
		})
	}
}
