// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func checkOne(t *testing.T, kind string, environ map[string]string) Checked {
	t.Helper()
	c, err := ReadCatalog(environ, "")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return c.Check(ctx, []string{kind})[0]
}

func TestCheckNamesTheSettingThatIsToBeMended(t *testing.T) {
	status := http.StatusUnauthorized
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	t.Cleanup(server.Close)
	secured := httptest.NewTLSServer(server.Config.Handler)
	t.Cleanup(secured.Close)
	ssh, err := net.Listen("tcp", "127.0.0.1:0") // a server of another protocol
	require.NoError(t, err)
	t.Cleanup(func() { ssh.Close() })
	go func() {
		for {
			c, err := ssh.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("SSH-2.0-OpenSSH\r\n"))
		}
	}()
	host, port, _ := net.SplitHostPort(ssh.Addr().String())
	noKey := filepath.Join(t.TempDir(), "none")
	garbage := filepath.Join(t.TempDir(), "garbage.pem")
	require.NoError(t, os.WriteFile(garbage, []byte("no certificate"), 0o600))
	for _, test := range []struct {
		kind, setting string
		environ       map[string]string
	}{
		{"http", "HTTP_USER", map[string]string{"HTTP_URL": server.URL}},
		{"elasticsearch", "ELASTICSEARCH_USER", map[string]string{"ELASTICSEARCH_HOSTS": server.URL}},
		{"http", "HTTP_CA", map[string]string{"HTTP_URL": secured.URL}},
		{"http", "HTTP_URL", map[string]string{"HTTP_URL": strings.Replace(server.URL, "http:", "https:", 1)}},
		{"http", "HTTP_URL", map[string]string{"HTTP_URL": "http://no-such-host.invalid"}},
		{"http", "HTTP_URL", map[string]string{"HTTP_URL": "ftp://x"}},
		{"elasticsearch", "ELASTICSEARCH_PORT", map[string]string{"ELASTICSEARCH_HOST": "h", "ELASTICSEARCH_PORT": "92000"}},
		{"http", "HTTP_CA", map[string]string{"HTTP_URL": secured.URL, "HTTP_CA": garbage}},
		{"http", "HTTP_PASSWORD_FILE", map[string]string{"HTTP_URL": server.URL, "HTTP_USER": "u", "HTTP_PASSWORD_FILE": noKey}},
		{"syslog", "SYSLOG_KEY", map[string]string{"SYSLOG_HOST": host, "SYSLOG_PROTOCOL": "tls", "SYSLOG_CERT": garbage, "SYSLOG_KEY": noKey}},
		{"syslog", "SYSLOG_PORT", map[string]string{"SYSLOG_HOST": host, "SYSLOG_PORT": port, "SYSLOG_PROTOCOL": "tcp"}},
		{"syslog", "SYSLOG_PORT", map[string]string{"SYSLOG_HOST": host, "SYSLOG_PORT": port, "SYSLOG_PROTOCOL": "relp"}},
		{"logstash", "LOGSTASH_HOSTS", map[string]string{"LOGSTASH_HOSTS": ssh.Addr().String()}},
		{"kafka", "KAFKA_BROKERS", map[string]string{"KAFKA_BROKERS": ssh.Addr().String(), "KAFKA_TIMEOUT": "1s"}},
	} {
		got := checkOne(t, test.kind, test.environ)
		require.False(t, got.OK, "%v: %s", test.environ, got.Saw)
		require.Contains(t, got.Error, test.setting, "%v", test.environ)
		require.NotContains(t, got.Error, "\n")
	}
	status = http.StatusMethodNotAllowed
	require.True(t, checkOne(t, "http", map[string]string{"HTTP_URL": server.URL}).OK)
	status = http.StatusInternalServerError
	require.False(t, checkOne(t, "http", map[string]string{"HTTP_URL": server.URL}).OK)
}

// A backend that never answers takes its own time, and holds up no other's check.
func TestCheckIsBounded(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { silent.Close() })
	path := configFile(t, "outputs:\n  silent: {kind: http, HTTP_URL: 'http://"+silent.Addr().String()+"'}\n  local: {kind: file, FILE_PATH: "+t.TempDir()+"}\n")
	c, err := ReadCatalog(nil, path)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	started := time.Now()
	all := c.Check(ctx, []string{"silent", "local", "console", "null"})
	require.Less(t, time.Since(started), 5*time.Second)
	require.False(t, all[0].OK)
	require.Contains(t, all[0].Error, "HTTP_URL: ")
	for _, other := range all[1:] {
		require.True(t, other.OK, other.Error)
	}
}
