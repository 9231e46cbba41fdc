// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/telemetry"
)

const token = "0123456789abcdef-token"

func testPage(a Access) *Page {
	take := func() telemetry.Snapshot { return telemetry.Snapshot{Ready: true, Rows: []telemetry.Row{}} }
	return New(Options{Take: take, Full: func() (telemetry.Snapshot, []telemetry.Declaration) { return take(), nil },
		Tails: &Tails{SetTap: func(pipeline.Tap) {}}, Rates: NewRates(), Access: a})
}

type answer struct {
	status int
	header http.Header
	body   string
}

// ask asks a gate of an address, with headers as pairs.
func ask(t *testing.T, h http.Handler, method, path, host string, header ...string) answer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: h}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	var body io.Reader
	if method == http.MethodPost && len(header)%2 == 1 {
		body, header = strings.NewReader(header[len(header)-1]), header[:len(header)-1]
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+l.Addr().String()+path, body)
	require.NoError(t, err)
	r.Host = host
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header, string(content)}
}

var protected = []string{"/status", "/api/overview", "/api/rates", "/api/container?name=x", "/api/tail", "/debug/pprof/"}

func TestWithoutATokenOnlyMetricsAndHealthAreOpen(t *testing.T) {
	for name, h := range map[string]http.Handler{
		"any address":  newGate(testPage(Access{}), ":9750"),
		"an address":   newGate(testPage(Access{}), "10.0.0.1:9750"),
		"a name":       newGate(testPage(Access{}), "node-1:9750"),
		"node agent":   newGate(testPage(Access{Shared: true}), "127.0.0.1:9750"),
		"a short one":  newGate(testPage(Access{Listener: config.Listener{Token: settings.NewSecret("short")}}), "127.0.0.1:9750"),
		"IPv6 any one": newGate(testPage(Access{}), "[::]:9750"),
	} {
		for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
			require.Equal(t, 200, ask(t, h, "GET", path, "prometheus.example").status, name+path)
		}
		for _, path := range append([]string{"/", "/page.js", "/login"}, protected...) {
			a := ask(t, h, "GET", path, "10.0.0.1")
			require.Equal(t, 403, a.status, name+path)
			require.Contains(t, a.body, "REMORA_LISTEN_TOKEN_FILE", name)
		}
	}
	open := newGate(testPage(Access{}), "127.0.0.1:9750")
	require.Equal(t, 200, ask(t, open, "GET", "/status", "localhost:9750").status)
	require.Equal(t, 200, ask(t, open, "GET", "/", "[::1]:9750").status)
}

func TestTheHostHeaderIsOurs(t *testing.T) {
	h := newGate(testPage(Access{Listener: config.Listener{Hosts: []string{" remora.example "}}}), "localhost:9750")
	for _, host := range []string{"localhost", "127.0.0.1:9750", "[::1]", "REMORA.example:80", "10.1.2.3"} {
		require.Equal(t, 200, ask(t, h, "GET", "/status", host).status, host)
	}
	for _, host := range []string{"evil.example", "localhost.evil.example", "remora.example.evil", "127.0.0.1.evil.example"} {
		a := ask(t, h, "GET", "/status", host)
		require.Equal(t, 403, a.status, host)
		require.Contains(t, a.body, "REMORA_LISTEN_HOSTS")
	}
}

func TestTheTokenBecomesACookie(t *testing.T) {
	h := newGate(testPage(Access{Listener: config.Listener{Token: settings.NewSecret(token)}}), ":9750")
	for _, path := range protected {
		require.Equal(t, 401, ask(t, h, "GET", path, "10.0.0.1").status, path)
		require.Equal(t, 401, ask(t, h, "GET", path+"?token="+token, "10.0.0.1").status, "never in a URL")
	}
	form := ask(t, h, "GET", "/", "10.0.0.1")
	require.Equal(t, 401, form.status)
	require.Contains(t, form.body, `action="/login"`)
	for _, wrong := range []string{"", token + "x", token[:16], "%00", strings.Repeat("x", 1<<20)} {
		a := ask(t, h, "POST", "/login", "10.0.0.1", "token="+wrong)
		require.Equal(t, 401, a.status)
		require.Empty(t, a.header.Get("Set-Cookie"))
		require.NotContains(t, a.body, token)
	}
	a := ask(t, h, "POST", "/login", "10.0.0.1", "token="+url.QueryEscape(token))
	require.Equal(t, 303, a.status)
	cookie := a.header.Get("Set-Cookie")
	for _, part := range []string{"HttpOnly", "SameSite=Strict", "Path=/"} {
		require.Contains(t, cookie, part)
	}
	require.NotContains(t, cookie, token)
	value, _, _ := strings.Cut(cookie, ";")
	require.Equal(t, 200, ask(t, h, "GET", "/status", "10.0.0.1", "Cookie", value).status)
	require.Equal(t, 401, ask(t, h, "GET", "/status", "10.0.0.1", "Cookie", value[:len(value)-2]).status)
	require.Equal(t, 401, ask(t, h, "GET", "/status", "10.0.0.1", "Cookie", strings.Replace(value, "=1", "=9", 1)).status, "a later end")
	require.Equal(t, 200, ask(t, h, "GET", "/status", "10.0.0.1", "Authorization", "Bearer "+token).status)
	require.Equal(t, 401, ask(t, h, "GET", "/status", "10.0.0.1", "Authorization", "Bearer "+token+"x", "Cookie", value).status)
}

func TestAFormOfAnotherSiteLogsNobodyIn(t *testing.T) {
	h := http.NewCrossOriginProtection().Handler(newGate(testPage(Access{Listener: config.Listener{Token: settings.NewSecret(token)}}), ":9750"))
	a := ask(t, h, "POST", "/login", "10.0.0.1", "Origin", "http://evil.example", "token="+token)
	require.Equal(t, 403, a.status)
}

func TestSessionsEnd(t *testing.T) {
	s, now := newSessions(), time.Unix(1_700_000_000, 0)
	value := s.begin(token, false, now).Value
	require.True(t, s.valid(value, token, now.Add(sessionTime-time.Second)))
	require.False(t, s.valid(value, token, now.Add(sessionTime)))
	require.False(t, s.valid(value, token+"x", now), "the token was changed")
	require.False(t, s.valid(value, "", now), "the token's file was emptied")
	require.False(t, newSessions().valid(value, token, now), "after a restart")
	for _, rubbish := range []string{"", ".", "x.y", value + ".", "99999999999999999999." + value} {
		require.False(t, s.valid(rubbish, token, now), rubbish)
	}
}

// A token that is replaced in its file is the one that counts, within a second: neither the former nor the cookie that it
// was turned into is of use any more. A file that holds no token lets nobody in.
func TestTheTokensFileIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write := func(content string) { require.NoError(t, os.WriteFile(path, []byte(content), 0o600)) }
	synctest.Test(t, func(t *testing.T) {
		write(token + "\n")
		var c config.Common
		require.NoError(t, config.Load(map[string]string{"REMORA_LISTEN_TOKEN_FILE": path}, &c))
		g := newGate(testPage(Access{Listener: c.Listener}), ":9750")
		request := func(header, value string) bool {
			r := httptest.NewRequest(http.MethodGet, "/status", nil)
			r.Header.Set(header, value)
			return g.proves(r)
		}
		cookie := g.sessions.begin(token, false, time.Now()).String()
		require.True(t, request("Authorization", "Bearer "+token))
		require.True(t, request("Cookie", cookie))
		write("another-" + token)
		time.Sleep(2 * time.Second)
		require.False(t, request("Authorization", "Bearer "+token))
		require.False(t, request("Cookie", cookie))
		require.True(t, request("Authorization", "Bearer another-"+token))
		for _, none := range []string{"", "short"} {
			write(none)
			time.Sleep(2 * time.Second)
			require.False(t, request("Authorization", "Bearer "+none), none)
			require.True(t, g.options.Access.closed(false))
		}
	})
}

func TestSettingsOfTheListenerThatDoNotFit(t *testing.T) {
	for want, environ := range map[string]map[string]string{
		"shorter than 16":          {"REMORA_LISTEN_TOKEN": "short"},
		"go together":              {"REMORA_LISTEN_CERT": "/c"},
		"needs REMORA_LISTEN_CERT": {"REMORA_LISTEN_CLIENT_CA": "/c"},
		"no such file":             {"REMORA_LISTEN_TOKEN_FILE": "/nowhere"},
	} {
		require.ErrorContains(t, config.Load(environ, new(config.Common)), want)
	}
}

func TestEveryAnswerIsProtected(t *testing.T) {
	h := newGate(testPage(Access{}), "127.0.0.1:9750")
	for _, path := range []string{"/", "/page.js", "/style.css", "/status", "/nowhere", "/metrics", "/api/overview"} {
		header := ask(t, h, "GET", path, "localhost").header
		csp := header.Get("Content-Security-Policy")
		require.True(t, strings.HasPrefix(csp, "default-src 'none';"), path)
		require.NotContains(t, csp, "unsafe")
		require.Equal(t, "nosniff", header.Get("X-Content-Type-Options"), path)
		require.Equal(t, "DENY", header.Get("X-Frame-Options"), path)
	}
}

// Nothing can be changed: whatever is not read is not there.
func TestNothingCanBeChanged(t *testing.T) {
	for _, h := range []http.Handler{newGate(testPage(Access{}), "127.0.0.1:9750"), &socketPage{testPage(Access{})}} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			for _, path := range append([]string{"/", "/page.js", "/metrics", "/healthz"}, protected...) {
				require.GreaterOrEqual(t, ask(t, h, method, path, "localhost").status, 400, method+path)
			}
		}
	}
}

func TestOverTheBoundIdleConnectionsAreClosed(t *testing.T) {
	c := newConnections()
	var others []net.Conn
	for range maxConns - 1 {
		_, conn := net.Pipe()
		c.note(conn, http.StateNew)
		others = append(others, conn)
	}
	_, busy := net.Pipe()
	c.note(busy, http.StateNew)
	c.note(busy, http.StateActive)
	_, probe := net.Pipe()
	c.note(probe, http.StateNew)
	require.Len(t, c.all, maxConns)
	require.Contains(t, c.all, busy)
	require.Contains(t, c.all, probe, "who comes last is answered")
	for _, conn := range others {
		c.note(conn, http.StateClosed)
	}
	require.Len(t, c.all, 2)
}

func TestASocketIsForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	server, err := testPage(Access{}).Listen("unix", path)
	require.NoError(t, err)
	defer server.Close()
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	body, err := telemetry.Fetch(t.Context(), "/status", telemetry.Address{Network: "unix", Address: path})
	require.NoError(t, err)
	require.Contains(t, string(body), `"schema"`)
}

func TestTLSAndCertificatesOfClients(t *testing.T) {
	ca := newAuthority(t)
	certificate, key := ca.issue(t, "server")
	access := Access{Listener: config.Listener{Cert: certificate, Key: key, ClientCA: ca.path}}
	server, err := testPage(access).Listen("tcp", "0.0.0.0:0")
	require.NoError(t, err)
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Addr().String())
	get := func(path string, shown ...tls.Certificate) int {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: ca.pool, Certificates: shown}}}
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://127.0.0.1:"+port+path, nil)
		require.NoError(t, err)
		resp, err := client.Do(r)
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	mine, other := ca.load(t, "client"), newAuthority(t).load(t, "client")
	require.Equal(t, 200, get("/healthz"))
	require.Equal(t, 401, get("/status"))
	require.Equal(t, 200, get("/status", mine))
	require.Zero(t, get("/status", other))
	_, err = testPage(Access{Listener: config.Listener{Cert: "/nowhere", Key: "/nowhere"}}).Listen("tcp", "127.0.0.1:0")
	require.ErrorContains(t, err, "REMORA_LISTEN_CERT")
}
