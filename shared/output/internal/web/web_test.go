// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/secure"
	"github.com/remora-logs/remora/shared/output/settings"
)

func address(t *testing.T, s *httptest.Server) *url.URL {
	t.Helper()
	u, err := url.Parse(s.URL)
	require.NoError(t, err)
	return u
}

func post(t *testing.T, c *Client, u *url.URL, body []byte) (*Response, error) {
	t.Helper()
	b := c.Buffer()
	defer c.Release(b)
	for line := range bytes.Lines(body) {
		b.Bytes = append(b.Bytes, line...)
		b.Pack()
		if b.codec.encoding() != "" && len(b.Bytes) >= chunk {
			t.Fatal("what was compressed is kept")
		}
	}
	r, end, err := c.Post(t.Context(), u, "text/plain", b)
	t.Cleanup(end)
	return r, err
}

func TestBodyArrivesWholeInEveryCodecAndOverTLS(t *testing.T) {
	var sent []byte
	for n := range 60_000 { // no two lines the same, or a piece that is missing could not be told from another
		sent = fmt.Appendf(sent, "line %d, and what repeats\n", n)
	}
	got := make(chan []byte, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in io.Reader = r.Body
		switch r.Header.Get("Content-Encoding") {
		case "gzip":
			in, _ = gzip.NewReader(in)
		case "zstd":
			in, _ = zstd.NewReader(in)
		}
		body, _ := io.ReadAll(in)
		if r.ContentLength < 0 || r.Header.Get("X-Mine") != "1" {
			body = nil
		}
		got <- body
	})
	for _, codec := range []Codec{None, Gzip, Zstd} {
		for _, start := range []func(http.Handler) *httptest.Server{httptest.NewServer, httptest.NewTLSServer} {
			s := start(handler)
			o := Options{Codec: codec, Timeout: time.Minute, Login: &Login{Fixed: http.Header{"X-Mine": {"1"}}}}
			if s.TLS != nil {
				o.TLS = trust(t, s)
			}
			c := NewClient(o)
			for range 3 { // the buffer and the connection are used again
				r, err := post(t, c, address(t, s), sent)
				require.NoError(t, err)
				require.Equal(t, 200, r.Status)
				r.Discard()
				require.True(t, bytes.Equal(sent, <-got))
			}
			require.NoError(t, c.Close())
			s.Close()
		}
	}
}

// trust is a source that knows the server's authority.
func trust(t *testing.T, s *httptest.Server) *secure.Source {
	path := filepath.Join(t.TempDir(), "ca.pem")
	content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	require.NoError(t, os.WriteFile(path, content, 0o600))
	source, err := secure.Settings{Verify: true, CA: path}.Open("X_")
	require.NoError(t, err)
	return source
}

func TestConnectionIsKept(t *testing.T) {
	conns := 0
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns++
		}
	}
	s.Start()
	defer s.Close()
	c := NewClient(Options{Codec: None, Timeout: time.Minute})
	for range 10 {
		r, err := post(t, c, address(t, s), []byte("x"))
		require.NoError(t, err)
		r.Discard()
	}
	require.NoError(t, c.Close())
	require.Equal(t, 1, conns)
}

// The transport may read the body for a while after the request was given up; the buffer must not be used again then.
func TestBufferIsNotUsedAgainWhileItIsRead(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-release }))
	defer s.Close()
	defer close(release)
	c := NewClient(Options{Codec: None, Timeout: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	b := c.Buffer()
	b.Bytes = make([]byte, 64<<20) // more than sockets hold
	time.AfterFunc(50*time.Millisecond, cancel)
	_, end, err := c.Post(ctx, address(t, s), "text/plain", b)
	end()
	require.ErrorIs(t, err, context.Canceled)
	held := b.readers.Load()
	c.Release(b)
	if held > 0 {
		require.NotSame(t, b, c.Buffer())
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	s := httptest.NewServer(http.RedirectHandler("http://u:hunter2@127.0.0.1:1/elsewhere?token=hunter2", http.StatusFound))
	defer s.Close()
	r, err := post(t, NewClient(Options{Codec: None, Timeout: time.Minute}), address(t, s), nil)
	require.NoError(t, err)
	err = r.Verdict()
	require.ErrorContains(t, err, "302")
	require.ErrorContains(t, err, "http://127.0.0.1:1/elsewhere")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestVerdicts(t *testing.T) {
	for _, test := range []struct {
		status int
		header string
		want   any
	}{
		{400, "", new(*output.Refused)}, {413, "", new(*output.TooLarge)}, {429, "", new(*output.Throttled)},
		{503, "7", new(*output.Throttled)},
	} {
		r := &Response{Status: test.status, Header: http.Header{"Retry-After": {test.header}}, Body: http.NoBody, from: "host:1"}
		err := r.Verdict(400)
		require.ErrorAs(t, err, test.want)
		require.ErrorContains(t, err, "host:1")
	}
	for _, status := range []int{301, 401, 403, 404, 500, 503} {
		err := (&Response{Status: status, Body: http.NoBody}).Verdict(400)
		require.NotErrorAs(t, err, new(*output.Refused))
		require.NotErrorAs(t, err, new(*output.Throttled))
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2025, 11, 21, 7, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "-3": 0, "soon": 0, "999999999999": maxAfter, "86400": maxAfter,
		now.Add(20 * time.Second).Format(http.TimeFormat): 20 * time.Second, now.Add(-time.Hour).Format(http.TimeFormat): 0,
	} {
		require.Equal(t, want, RetryAfter(http.Header{"Retry-After": {text}}, now), text)
	}
}

func TestNodesTakeTurnsAndRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _, err := ParseNodes([]string{"a:1", "b:1", "http://c:1/x/"}, "https", "/p/")
		require.NoError(t, err)
		require.Equal(t, "http://c:1/x/p", n.nodes[2].URL.String())
		pick := func() string { return n.Pick(time.Now()).URL.Hostname() }
		require.Equal(t, "abcabc", pick()+pick()+pick()+pick()+pick()+pick())
		n.Failed(n.nodes[1], time.Now())
		for range 10 {
			require.NotEqual(t, "b", pick())
		}
		time.Sleep(firstRest + 1)
		require.Contains(t, pick()+pick()+pick(), "b")
		for range 20 { // it rests longer each time, and no longer than the longest
			n.Failed(n.nodes[1], time.Now())
		}
		require.LessOrEqual(t, time.Until(n.nodes[1].rests), longestRest)
		n.Failed(n.nodes[0], time.Now())
		n.Failed(n.nodes[2], time.Now())
		require.NotEqual(t, "b", pick(), "when all rest, the one that is nearest to its end")
		n.Worked(n.nodes[1])
		require.Equal(t, "b", pick())
	})
}

func TestPasswordsInURLsStayOutOfErrors(t *testing.T) {
	for _, bad := range []string{"ftp://u:hunter2@h", "http://u:hunter2@h:port", "http://u:hunter2@%zz", "htp://h/in?token=hunter2", "htp:in?token=hunter2",
		"htp://h/hooks/hunter2#hunter2"} {
		_, _, err := ParseNodes([]string{bad}, "http", "")
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
	}
	n, user, err := ParseNodes([]string{"http://u:hunter2@h:1"}, "http", "")
	require.NoError(t, err)
	password, _ := user.Password()
	require.Equal(t, "hunter2", password)
	require.NotContains(t, n.nodes[0].URL.String(), "hunter2")
}

func TestHeaders(t *testing.T) {
	password := settings.NewSecret("pass")
	l, err := (&Settings{Headers: settings.NewSecret(" A-B = c ,")}).Login("X_", url.UserPassword("me", "pass"))
	require.NoError(t, err)
	h, err := l.Header()
	require.NoError(t, err)
	require.Equal(t, http.Header{"A-B": {"c"}, "Authorization": {Basic("me", "pass")}}, h)
	l, err = (&Settings{Bearer: settings.NewSecret("t")}).Login("X_", nil)
	require.NoError(t, err)
	h, err = l.Header()
	require.NoError(t, err)
	require.Equal(t, "Bearer t", h.Get("Authorization"))
	_, err = (&Settings{User: "u", Password: password, Bearer: settings.NewSecret("hunter2")}).Login("X_", nil)
	require.ErrorContains(t, err, "X_BEARER_TOKEN")
	require.NotContains(t, err.Error(), "hunter2")
	for _, bad := range []string{"a b=hunter2", "hunter2", "=hunter2"} {
		_, err = (&Settings{Headers: settings.NewSecret(bad)}).Login("X_", nil)
		require.ErrorContains(t, err, "X_HEADERS")
		require.NotContains(t, err.Error(), "hunter2")
	}
}

// A token that is renewed while Remora runs is used from then on.
func TestRenewedTokenIsUsed(t *testing.T) {
	var c struct {
		Settings `envPrefix:"X_"`
	}
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte("old\n"), 0o600))
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, settings.Load(map[string]string{"X_BEARER_TOKEN_FILE": path}, &c))
		l, err := c.Login("X_", nil)
		require.NoError(t, err)
		bearer := func() string {
			h, err := l.Header()
			require.NoError(t, err)
			return h.Get("Authorization")
		}
		require.Equal(t, "Bearer old", bearer())
		require.NoError(t, os.WriteFile(path, []byte("renewed\n"), 0o600))
		time.Sleep(2 * time.Second)
		require.Equal(t, "Bearer renewed", bearer())
	})
}

func TestCompressionThatNobodyAskedFor(t *testing.T) {
	for _, encoding := range []string{"gzip", "br"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "identity" {
				t.Error("the server is not asked for plain answers")
			}
			w.Header().Set("Content-Encoding", encoding)
			w.WriteHeader(http.StatusTeapot)
			z := gzip.NewWriter(w)
			_, _ = z.Write([]byte("short and stout"))
			_ = z.Close()
		}))
		defer s.Close()
		r, err := post(t, NewClient(Options{Codec: None, Timeout: time.Minute}), address(t, s), nil)
		if encoding != "gzip" {
			require.ErrorContains(t, err, "br, which was not asked for")
			continue
		}
		require.NoError(t, err)
		require.ErrorContains(t, r.Verdict(), "short and stout")
	}
}

func TestBackendsThatSayTooLargeIntheirOwnWay(t *testing.T) {
	for _, said := range []string{
		"rpc error: code = ResourceExhausted desc = grpc: received message larger than max (8388608 vs. 4194304)",
		"gRPC message exceeds maximum size 4194304: 5000000", "Error, decoded message length too large: found 5000000 bytes",
		"http: request body too large", "Received message exceeds the maximum configured message size.",
	} {
		for _, status := range []int{400, 500} {
			r := &Response{Status: status, Body: io.NopCloser(strings.NewReader(said))}
			require.ErrorAs(t, r.Verdict(400), new(*output.TooLarge), said)
		}
	}
	r := &Response{Status: 429, Body: io.NopCloser(strings.NewReader("message too large for the burst"))}
	require.ErrorAs(t, r.Verdict(), new(*output.Throttled))
}

// What a proxy, or a server that was spoken to in the wrong protocol, thinks of a request says nothing of the records.
func TestForeign400IsNotTheRecordsFault(t *testing.T) {
	for _, said := range []string{
		"<html><head><title>400 The plain HTTP request was sent to HTTPS port</title>", "Client sent an HTTP request to an HTTPS server.\n",
		"400 Bad Request: missing required Host header", "Bad Request", "  <!doctype html>",
	} {
		r := &Response{Status: 400, Body: io.NopCloser(strings.NewReader(said))}
		err := r.Verdict(400)
		require.NotErrorAs(t, err, new(*output.Refused), said)
		require.ErrorContains(t, err, "check the address")
	}
	r := &Response{Status: 400, Body: io.NopCloser(strings.NewReader("entry too old"))}
	require.ErrorAs(t, r.Verdict(400), new(*output.Refused))
}

// answer makes an HTTP/2 server of cleartext that treats each connection's first request by f.
func http2Server(t *testing.T, f http.Handler) (*httptest.Server, *atomic.Int32) {
	conns := new(atomic.Int32)
	s := httptest.NewUnstartedServer(f)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s, conns
}

func TestConnectionWithADeadlineBehindItIsNotUsedAgain(t *testing.T) {
	var mute atomic.Bool
	mute.Store(true)
	s, conns := http2Server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if mute.Load() {
			<-r.Context().Done()
		}
	}))
	c := NewClient(Options{Codec: None, GRPC: true, Timeout: 100 * time.Millisecond})
	_, err := post(t, c, address(t, s), nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	mute.Store(false)
	_, err = post(t, c, address(t, s), nil)
	require.NoError(t, err)
	require.EqualValues(t, 2, conns.Load())
}

// goAway sends each connection GOAWAY, as a proxy does whose backends are gone: after its first bytes, or at once.
func goAway(t *testing.T, after bool) (u *url.URL, conns *atomic.Int32) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	conns = new(atomic.Int32)
	var handlers sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); handlers.Wait() })
	handlers.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Add(1)
			handlers.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(5 * time.Second))
				// SETTINGS, and GOAWAY with NO_ERROR and 0 as the last stream, which invites to try again elsewhere.
				_, _ = c.Write([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
				if after {
					_, _ = io.ReadFull(c, make([]byte, 24+9))
				}
				_, _ = c.Write([]byte("\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
				_, _ = io.Copy(io.Discard, c)
			})
		}
	})
	return &url.URL{Scheme: "http", Host: l.Addr().String()}, conns
}

func TestGoAwayCostsAConnectionOrTwo(t *testing.T) {
	for _, after := range []bool{true, false} {
		u, conns := goAway(t, after)
		c := NewClient(Options{Codec: None, GRPC: true, Timeout: 2 * time.Second})
		started := time.Now()
		_, err := post(t, c, u, []byte("x"))
		require.Error(t, err)
		require.Less(t, time.Since(started), 10*time.Second)
		require.LessOrEqual(t, conns.Load(), int32(2), after)
		require.NoError(t, c.Close())
	}
}

func TestQuote(t *testing.T) {
	require.Equal(t, "a b?c", Quote([]byte("a\r\n\x1b \tb\xffc")))
	require.LessOrEqual(t, len(Quote([]byte(strings.Repeat("ü", 1000)))), quoted+len("…"))
}

func TestUnsent(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	u := address(t, s)
	s.Close()
	_, err := post(t, NewClient(Options{Codec: None, Timeout: time.Minute}), u, nil)
	require.True(t, Unsent(err), "%v", err)
	require.False(t, Unsent(errors.New("x")))
}
