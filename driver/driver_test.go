// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/driver/plugin"
	"github.com/remora-logs/remora/shared/stream/framestest"
)

// runMain makes the test binary the driver itself, so that a test can kill it.
const runMain = "REMORA_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// engine plays the engine's part to a driver that is a process of its own.
type engine struct {
	t   *testing.T
	dir string
	env []string
	// program is the driver: by default the test itself, as TestMain has it.
	program string
	driver  *exec.Cmd
	stderr  bytes.Buffer
	client  http.Client
}

func newEngine(t *testing.T, env ...string) *engine {
	t.Helper()
	e := newIdleEngine(t, env...)
	e.start()
	return e
}

// newIdleEngine has not started the driver. The test runs beside others from here on, as most of its time it waits for processes.
func newIdleEngine(t *testing.T, env ...string) *engine {
	t.Helper()
	t.Parallel()
	dir := t.TempDir()
	e := &engine{t: t, dir: dir, program: os.Args[0]}
	e.env = append([]string{
		runMain + "=1", "GORACE=" + os.Getenv("GORACE"), "LOGGING_OUTPUT=file", "FILE_PATH=" + filepath.Join(dir, "out"), "FILE_ROTATE_SIZE=1000000",
		"REMORA_STATE_DIR=" + filepath.Join(dir, "state"), "REMORA_HOST=node-1", "TMPDIR=" + dir,
	}, env...)
	e.client.Timeout = 15 * time.Second
	e.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", e.socket())
	}}
	t.Cleanup(func() {
		if e.driver != nil {
			e.kill()
		}
		if t.Failed() {
			t.Log(e.stderr.String())
		}
	})
	return e
}

func (e *engine) socket() string { return filepath.Join(e.dir, "plugin.sock") }

func (e *engine) start() {
	e.t.Helper()
	e.driver = exec.Command(e.program, "run", "--socket", e.socket())
	e.driver.Env, e.driver.Stdout, e.driver.Stderr = e.env, &e.stderr, &e.stderr
	require.NoError(e.t, e.driver.Start())
	e.client.CloseIdleConnections()
	require.Eventually(e.t, func() bool { return e.call("Plugin.Activate", nil, nil) == nil }, time.Minute, 5*time.Millisecond)
}

func (e *engine) kill() {
	require.NoError(e.t, e.driver.Process.Kill())
	_ = e.driver.Wait()
	e.driver = nil
}

// terminate is what disabling the plugin does.
func (e *engine) terminate() {
	require.NoError(e.t, e.driver.Process.Signal(syscall.SIGTERM))
	require.NoError(e.t, e.driver.Wait())
	e.driver = nil
}

func (e *engine) call(method string, request, response any) error {
	body, err := json.Marshal(request)
	require.NoError(e.t, err)
	resp, err := e.client.Post("http://plugin/"+method, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	if response == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(response)
}

// container is a FIFO and what the engine tells about the container behind it.
type container struct {
	e    *engine
	info plugin.Info
	path string
	fifo *os.File
}

func (e *engine) run(info plugin.Info) *container {
	e.t.Helper()
	c := &container{e: e, info: info, path: filepath.Join(e.dir, fmt.Sprintf("fifo-%d", time.Now().UnixNano()))}
	require.NoError(e.t, unix.Mkfifo(c.path, 0o600))
	var err error
	c.fifo, err = os.OpenFile(c.path, os.O_RDWR, 0)
	require.NoError(e.t, err)
	var res struct{ Err string }
	require.NoError(e.t, e.call("LogDriver.StartLogging", map[string]any{"File": c.path, "Info": info}, &res))
	require.Empty(e.t, res.Err)
	return c
}

func (c *container) write(line string) {
	_, err := c.fifo.Write(framestest.Line("%s", line))
	require.NoError(c.e.t, err)
}

func (c *container) stop() {
	c.e.t.Helper()
	var res struct{ Err string }
	require.NoError(c.e.t, c.e.call("LogDriver.StopLogging", map[string]any{"File": c.path}, &res))
	require.Empty(c.e.t, res.Err)
	require.NoError(c.e.t, c.fifo.Close())
	_ = os.Remove(c.path)
}

// delivered are the records of a target, as the output file has them.
func (e *engine) delivered(target string) (records []map[string]any) {
	b, err := os.ReadFile(filepath.Join(e.dir, "out", target+".log"))
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(e.t, err)
	for line := range bytes.Lines(b) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // being written
		}
		var r map[string]any
		require.NoError(e.t, json.Unmarshal(line, &r), "%s", line)
		records = append(records, r)
	}
	return records
}

// nothingLeft waits until the spool holds no stream any more.
func (e *engine) nothingLeft() {
	e.t.Helper()
	require.Eventually(e.t, func() bool {
		entries, err := os.ReadDir(filepath.Join(e.dir, "state", "streams"))
		return err == nil && len(entries) == 0
	}, time.Minute, 20*time.Millisecond, "something is left in the spool")
}

func TestCollectsDeclared(t *testing.T) {
	e := newEngine(t)
	c := e.run(plugin.Info{
		ContainerID: strings.Repeat("ab", 32), ContainerName: "/web", ContainerImageName: "nginx:1",
		ContainerLabels: map[string]string{"aliyun.logs.access": "stdout", "aliyun.logs.access.tags": "team=a"},
		ContainerEnv:    []string{"PASSWORD=hunter2"},
		Config:          map[string]string{"no-such-option": "1"},
	})
	c.write("hello")
	c.stop()
	e.nothingLeft()
	records := e.delivered("access")
	require.Len(t, records, 1)
	require.Subset(t, records[0], map[string]any{
		"message": "hello", "stream": "stdout", "source": "stdout", "team": "a", "docker_container": "web",
		"container_id": strings.Repeat("ab", 32), "image": "nginx:1", "host": "node-1",
	})
	e.terminate()
	require.NotContains(t, e.stderr.String(), "hunter2")
}

func TestKilledLosesNothing(t *testing.T) {
	e := newEngine(t)
	c := e.run(plugin.Info{ContainerID: "c0ffee"})
	const lines = 60_000
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := range lines {
			if _, err := c.fifo.Write(framestest.Line("%d", i)); err != nil {
				t.Error(err)
			}
		}
	}()
	for range 5 {
		e.kill()
		e.start()
	}
	<-written
	c.stop()
	e.nothingLeft()
	seen := make([]bool, lines)
	for _, r := range e.delivered("docker") {
		var i int
		_, err := fmt.Sscan(r["message"].(string), &i)
		require.NoError(t, err)
		require.False(t, seen[i], "line %d is written twice", i)
		seen[i] = true
	}
	for i, ok := range seen {
		require.True(t, ok, "line %d is lost", i)
	}
}

func TestTerminatedGoesOn(t *testing.T) {
	e := newEngine(t)
	c := e.run(plugin.Info{ContainerID: "c0ffee"})
	c.write("first")
	e.terminate()
	c.write("second")
	e.start()
	c.write("third")
	c.stop()
	e.nothingLeft()
	var lines []any
	for _, r := range e.delivered("docker") {
		lines = append(lines, r["message"])
	}
	require.Equal(t, []any{"first", "second", "third"}, lines)
}

func TestStopOfUnknownFile(t *testing.T) {
	e := newEngine(t)
	var res struct{ Err string }
	require.NoError(t, e.call("LogDriver.StopLogging", map[string]any{"File": "/run/docker/logging/none"}, &res))
	require.Empty(t, res.Err)
}

func TestUnwritableState(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	e := newEngine(t, "REMORA_STATE_DIR="+filepath.Join(file, "state"))
	c := e.run(plugin.Info{ContainerID: "c0ffee"})
	c.write("collected all the same")
	c.stop()
	require.Eventually(t, func() bool { return len(e.delivered("docker")) == 1 }, time.Minute, 20*time.Millisecond)
}

// docker logs: the lines of an earlier start of the container come first, and stay after delivery and a restart.
func TestReadLogs(t *testing.T) {
	e := newEngine(t, "READ_LOGS=true")
	var capabilities struct{ Cap struct{ ReadLogs bool } }
	require.NoError(t, e.call("LogDriver.Capabilities", nil, &capabilities))
	require.True(t, capabilities.Cap.ReadLogs)
	info := plugin.Info{ContainerID: "c0ffee"}
	first := e.run(info)
	first.write("one")
	first.write("two")
	first.stop()
	require.Eventually(t, func() bool { return len(e.delivered("docker")) == 2 }, time.Minute, 20*time.Millisecond)
	e.terminate()
	e.start()
	second := e.run(info)
	second.write("three")
	second.stop()
	require.Equal(t, "one\ntwo\nthree\n", e.logs(info, plugin.ReadConfig{Tail: -1}))
	require.Equal(t, "two\nthree\n", e.logs(info, plugin.ReadConfig{Tail: 2}))
	require.Empty(t, e.logs(info, plugin.ReadConfig{Tail: -1, Since: time.Now()}))
	require.Empty(t, e.logs(info, plugin.ReadConfig{Tail: -1, Until: time.Unix(1, 0)}))
	require.Eventually(t, func() bool { return len(e.delivered("docker")) >= 3 }, time.Minute, 20*time.Millisecond)
	require.Len(t, e.delivered("docker"), 3, "history was delivered again after the restart")
}

func (e *engine) logs(info plugin.Info, c plugin.ReadConfig) string {
	body, err := json.Marshal(map[string]any{"Info": info, "Config": c})
	require.NoError(e.t, err)
	resp, err := e.client.Post("http://plugin/LogDriver.ReadLogs", "application/json", bytes.NewReader(body))
	require.NoError(e.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(e.t, err)
	var out []byte
	for {
		entry, rest, ok := framestest.Next(b)
		if !ok {
			require.Empty(e.t, rest)
			return string(out)
		}
		b = rest
		_, line, _ := bytes.Cut(entry[2+len("stdout"):], []byte{3<<3 | 2}) // no other byte of these times is that one
		out = append(out, line[1:]...)
	}
}
