// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/driver/plugin"
)

// logs is a driver that refuses what it is asked to start.
type logs struct{ stopped []string }

func (l *logs) Start(string, plugin.Info) error { return errors.New("no room") }
func (l *logs) Stop(file string)                { l.stopped = append(l.stopped, file) }
func (l *logs) Read(_ context.Context, _ plugin.Info, _ plugin.ReadConfig, w io.Writer) error {
	_, err := w.Write([]byte("frames"))
	return err
}

func serve(t *testing.T, readLogs bool) (post func(method, body string) (int, string), l *logs, said *bytes.Buffer) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "remora.sock")
	for range 2 { // the second time, a dead process has left its socket
		listener, err := plugin.Listen(socket)
		require.NoError(t, err)
		listener.(interface{ SetUnlinkOnClose(bool) }).SetUnlinkOnClose(false)
		require.NoError(t, listener.Close())
	}
	listener, err := plugin.Listen(socket)
	require.NoError(t, err)
	l, said = &logs{}, &bytes.Buffer{}
	h := plugin.Handler(l, readLogs, slog.New(slog.NewTextHandler(said, nil)))
	go func() { _ = h.Serve(listener) }()
	t.Cleanup(func() { listener.Close() })
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	t.Cleanup(client.CloseIdleConnections)
	return func(method, body string) (int, string) {
		resp, err := client.Post("http://plugin/"+method, "application/json", strings.NewReader(body))
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, strings.TrimSpace(string(b))
	}, l, said
}

func TestEndpoints(t *testing.T) {
	post, l, said := serve(t, true)
	for _, c := range []struct{ method, body, answer string }{
		{"Plugin.Activate", ``, `{"Implements": ["LogDriver"]}`},
		{"LogDriver.Capabilities", ``, `{"Cap":{"ReadLogs":true},"Err":""}`},
		{"LogDriver.StartLogging", `{"File":"/f","Info":{"ContainerID":"c1"}}`,
			`{"Err":"remora: can't collect the log of container c1: no room (REM5109)"}`},
		{"LogDriver.StartLogging", `{"Info":{"ContainerID":"c1"}}`,
			`{"Err":"remora: can't collect the log of container c1: no file was given (REM5109)"}`},
		{"LogDriver.StartLogging", `{"File":"/f","Info":{"ContainerEnv":["PASSWORD=hunter2"`,
			`{"Err":"remora: can't collect the log of container : request is cut short (REM5109)"}`},
		{"LogDriver.StopLogging", `{"File":"/f"}`, `{"Err":""}`},
		{"LogDriver.StopLogging", `hunter2`, `{"Err":""}`},
		{"LogDriver.ReadLogs", `{}`, `frames`},
	} {
		status, answer := post(c.method, c.body)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, c.answer, answer, c.method)
	}
	require.Equal(t, []string{"/f"}, l.stopped)
	require.NotContains(t, said.String(), "hunter2")
}

func TestReadLogsIsOff(t *testing.T) {
	post, _, _ := serve(t, false)
	_, answer := post("LogDriver.Capabilities", "")
	require.Equal(t, `{"Cap":{"ReadLogs":false},"Err":""}`, answer)
	status, _ := post("LogDriver.ReadLogs", "{}")
	require.Equal(t, http.StatusNotFound, status)
}
