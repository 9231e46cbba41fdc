// SPDX-License-Identifier: Apache-2.0

package http

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/output/internal/web"
)

// Whatever something in front of the backend does about a line, the log with that line waits alone: it may answer with any
// status, or end the connection.
func TestALineThatAFirewallObjectsToHoldsUpItsOwnLogAlone(t *testing.T) {
	objections := map[string]http.HandlerFunc{
		"closes": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			_ = conn.Close()
		},
		"resets": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		},
		"answers something else": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			_, _ = io.WriteString(conn, "blocked\n")
			_ = conn.Close()
		},
	}
	for _, status := range []int{302, 403, 404, 405, 406, 410, 418, 444, 451, 500, 501, 502, 520, 999} {
		objections[fmt.Sprint(status)] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	for name, object := range objections {
		t.Run(name, func(t *testing.T) {
			var stored atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if bytes.Contains(body, []byte("UNION SELECT")) {
					object(w, r)
					return
				}
				stored.Add(int64(bytes.Count(body, []byte("\n"))))
			}))
			defer server.Close()
			o, err := Open(Config{URL: server.URL, Compression: web.None, Timeout: 10e9})
			require.NoError(t, err)
			defer o.Close()
			b := sample.Batch(0, 3, sample.Source(1), sample.Source(2), sample.Source(3))
			b.Records[1].Line = []byte("GET /?id=1 UNION SELECT")
			evil := b.Records[1].Source

			require.ErrorAs(t, o.Write(t.Context(), b), new(*web.Suspect), "it may be the backend as a whole")
			var partial *output.Partial
			require.ErrorAs(t, o.Write(t.Context(), b), &partial)
			require.Empty(t, partial.Retry)
			require.Empty(t, partial.Refused)
			require.Len(t, partial.Blocked, 3)
			for _, blocked := range partial.Blocked {
				require.Same(t, evil, b.Records[blocked.Index].Source)
			}
			require.EqualValues(t, 6, stored.Load())
		})
	}
}

// The same over HTTP/2, where a stream is reset and the connection stays.
func TestAStreamThatAFirewallResets(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); bytes.Contains(body, []byte("UNION SELECT")) {
			panic(http.ErrAbortHandler)
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	o, err := Open(Config{URL: server.URL, Compression: web.None, Timeout: 10e9})
	require.NoError(t, err)
	defer o.Close()
	b := sample.Batch(0, 3, sample.Source(1), sample.Source(2))
	b.Records[1].Line = []byte("GET /?id=1 UNION SELECT")
	require.ErrorAs(t, o.Write(t.Context(), b), new(*web.Suspect))
	var partial *output.Partial
	require.ErrorAs(t, o.Write(t.Context(), b), &partial)
	require.Len(t, partial.Blocked, 3)
}
