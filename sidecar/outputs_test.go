// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/command"
)

// cluster is a backend that takes JSON lines; it is down until it is started.
type cluster struct {
	listener net.Listener
	token    string
	arrived  chan string // messages
}

func newCluster(t *testing.T, token string) *cluster {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return &cluster{listener: listener, token: token, arrived: make(chan string, 100)}
}

func (c *cluster) start(t *testing.T) {
	server := httptest.NewUnstartedServer(c)
	server.Listener = c.listener
	server.Start()
	t.Cleanup(server.Close)
}

// ServeHTTP refuses who comes with another cluster's token.
func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+c.token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		var record struct{ Message string }
		if json.Unmarshal(lines.Bytes(), &record) == nil {
			c.arrived <- record.Message
		}
	}
}

// Two clusters of one kind, each with a token of its own: while one is down, the other one gets everything, and what the
// first missed comes after a restart, once, by the checkpoint of its name.
func TestTwoOutputsOfOneKindAndOneIsDown(t *testing.T) {
	p := newPod(t)
	hot, cold := newCluster(t, "for hot"), newCluster(t, "for cold")
	address := cold.listener.Addr().String()
	require.NoError(t, cold.listener.Close()) // refused, until it is listened on again
	hot.start(t)
	token := filepath.Join(t.TempDir(), "hot")
	require.NoError(t, os.WriteFile(token, []byte("for hot\n"), 0o600))
	config := filepath.Join(t.TempDir(), "remora.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
outputs:
  hot: {kind: http, HTTP_URL: "http://%s", HTTP_BEARER_TOKEN_FILE: %s}
  cold-2: {kind: http, HTTP_URL: "http://%s", HTTP_BEARER_TOKEN: for cold}
logs:
  archive: {path: %s/archive.txt, output: [cold-2]}
`, hot.listener.Addr(), token, address, p.logs), 0o600))
	p.environ["REMORA_CONFIG"], p.environ["LOGGING_OUTPUT"], p.environ["REMORA_DRAIN_TIMEOUT"] = config, "hot,cold-2", "100ms"
	p.write("web.log", "both\n")
	p.write("archive.txt", "for cold alone\n")
	stop := p.run()
	require.Equal(t, "both", <-hot.arrived)
	err := stop()
	require.ErrorContains(t, err, "20 bytes of 2 files", "what cold-2 has not taken")

	cold.listener, err = net.Listen("tcp", address)
	require.NoError(t, err)
	cold.start(t)
	delete(p.environ, "REMORA_DRAIN_TIMEOUT")
	stop = p.run()
	require.ElementsMatch(t, []string{"both", "for cold alone"}, []string{<-cold.arrived, <-cold.arrived})
	p.write("web.log", "again\n")
	require.Equal(t, "again", <-cold.arrived)
	require.Equal(t, "again", <-hot.arrived, "and nothing twice")
	require.NoError(t, stop())
}

func TestWrongOutputsOfTheFileAreUsageErrors(t *testing.T) {
	for text, want := range map[string]string{
		"outputs:\n  hot: {kind: http, HTTP_URL: 'http://x', HTTP_ULR: y}": "line 2: outputs.hot.HTTP_ULR: unknown key",
		"outputs:\n  hot: {kind: http}":                                    "output hot (",
		"outputs:\n  warm: {kind: 'null'}":                                 `output "hot" is not known; there are`,
		"outputs: [":                                                       "remora.yaml: ",
	} {
		p := newPod(t)
		config := filepath.Join(t.TempDir(), "remora.yaml")
		require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
		p.environ["REMORA_CONFIG"], p.environ["LOGGING_OUTPUT"] = config, "hot"
		err := p.run()()
		require.ErrorContains(t, err, want, text)
		require.True(t, command.IsUsage(err))
	}
}
