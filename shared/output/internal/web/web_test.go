// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output"
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
	for n := range 200_000 { // no two lines the same, or a piece that is missing could not be told from another
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
			o := Options{Codec: codec, Timeout: time.Minute, Header: http.Header{"X-Mine": {"1"}}}
			if s.TLS != nil {
				o.TLS = s.Client().Transport.(*http.Transport).TLSClientConfig
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
	s := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound))
	defer s.Close()
	r, err := post(t, NewClient(Options{Codec: None, Timeout: time.Minute}), address(t, s), nil)
	require.NoError(t, err)
	require.ErrorContains(t, r.Verdict(), "302")
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
	for _, bad := range []string{"ftp://u:hunter2@h", "http://u:hunter2@h:port", "http://u:hunter2@%zz"} {
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
	u := &url.URL{User: url.UserPassword("me", "pass")}
	h, err := Header("X", u, Login{}, map[string]string{" A-B ": " c "})
	require.NoError(t, err)
	require.Equal(t, http.Header{"A-B": {"c"}, "Authorization": {Basic("me", "pass")}}, h)
	require.Nil(t, u.User)
	h, err = Header("X", u, Login{Bearer: "t"}, nil)
	require.NoError(t, err)
	require.Equal(t, "Bearer t", h.Get("Authorization"))
	_, err = Header("X", u, Login{User: "u", Bearer: "hunter2"}, nil)
	require.ErrorContains(t, err, "X_BEARER_TOKEN")
	require.NotContains(t, err.Error(), "hunter2")
	_, err = Header("X", u, Login{}, map[string]string{"a b": "hunter2"})
	require.ErrorContains(t, err, "X_HEADERS")
	require.NotContains(t, err.Error(), "hunter2")
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
