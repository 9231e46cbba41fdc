// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/driver/plugin"
	"github.com/remora-logs/remora/shared/stream/framestest"
)

// with sets variables for the driver's next start.
func (e *engine) with(env ...string) { e.env = append(e.env, env...) }

// get asks the status socket.
func (e *engine) get(path string) string {
	e.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(e.dir, "state", "status.sock"))
	}}}
	resp, err := client.Get("http://status" + path)
	require.NoError(e.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(e.t, err)
	return string(b)
}

// lines are the messages of a target; a gap is "gap: REASON RECORDS".
func (e *engine) lines(target string) (all []string) {
	for _, r := range e.delivered(target) {
		if r["remora"] == "gap" {
			all = append(all, fmt.Sprintf("gap: %v %v", r["reason"], r["records"]))
		} else {
			all = append(all, r["message"].(string))
		}
	}
	return all
}

func (e *engine) eventually(target string, want ...string) {
	e.t.Helper()
	require.Eventually(e.t, func() bool { return len(e.lines(target)) >= len(want) }, time.Minute, 20*time.Millisecond,
		"%s has %v", target, e.lines(target))
	require.Equal(e.t, want, e.lines(target))
}

// With wrong settings the engine must not find the plugin broken, nor a container be refused: what is written waits for
// the settings to be corrected, and /readyz says what is wrong with them.
func TestWrongSettings(t *testing.T) {
	for name, wrong := range map[string]string{
		"output": "LOGGING_OUTPUT=kafak", "number": "REMORA_WORKERS=many", "output's own": "FILE_ROTATE_SIZE=-",
		"duration": "REMORA_SYNC_INTERVAL=0s", "together": "REMORA_BATCH_RECORDS=0",
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, wrong)
			variable, value, _ := strings.Cut(wrong, "=")
			c := e.run(plugin.Info{ContainerID: "c0ffee", ContainerLabels: map[string]string{"aliyun.logs.web": "stdout"}})
			c.write("one")
			require.Contains(t, e.get("/readyz"), variable)
			require.Contains(t, e.get("/status"), variable)
			require.NotContains(t, e.get("/readyz"), "ok\n")
			e.kill()
			e.start()
			c.write("two")
			c.stop()
			e.terminate()
			require.Empty(t, e.lines("web"))
			e.with(variable + "=" + map[bool]string{true: "file"}[value == "kafak"])
			e.start()
			e.eventually("web", "one", "two")
			require.Equal(t, "ok\n", e.get("/readyz"))
			e.nothingLeft()
		})
	}
}

// A container ends while the plugin is not running: the engine lets its FIFO go, and the kernel what was in it.
func TestContainerEndsWhileThePluginIsDown(t *testing.T) {
	for name, removed := range map[string]bool{"FIFO removed": true, "FIFO left": false} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			label := func(name string) plugin.Info {
				return plugin.Info{ContainerID: name, ContainerLabels: map[string]string{"aliyun.logs." + name: "stdout"}}
			}
			victim, innocent := e.run(label("victim")), e.run(label("innocent"))
			victim.write("before")
			innocent.write("before")
			e.terminate()
			victim.write("lost")
			innocent.write("between")
			require.NoError(t, victim.fifo.Close())
			if removed {
				require.NoError(t, os.Remove(victim.path))
			}
			e.start()
			innocent.write("after")
			innocent.stop()
			e.eventually("victim", "before", "gap: container ended while Remora was not running <nil>")
			e.eventually("innocent", "before", "between", "after")
			e.nothingLeft()
		})
	}
}

// What its writer still holds open is drained, however long the plugin was down.
func TestWriterStillHoldsTheFIFO(t *testing.T) {
	e := newEngine(t)
	c := e.run(plugin.Info{ContainerID: "c0ffee"})
	e.terminate()
	var want []string
	for i := range 400 {
		want = append(want, fmt.Sprintf("line %d", i))
		c.write(want[i])
	}
	e.start()
	// The plugin answers before it has opened the FIFO, and the kernel forgets what is in one that nobody has open.
	require.Eventually(t, func() bool {
		unread, err := unix.IoctlGetInt(int(c.fifo.Fd()), unix.TIOCINQ)
		return err == nil && unread == 0
	}, time.Minute, time.Millisecond)
	require.NoError(t, c.fifo.Close())
	e.eventually("docker", want...)
	e.nothingLeft()
}

// A manifest that can't be read costs a container its tags, not its lines, and nobody else anything.
func TestDamagedManifest(t *testing.T) {
	for name, damage := range map[string]func(string) error{
		"cut short": func(p string) error { return os.Truncate(p, 20) },
		"empty":     func(p string) error { return os.Truncate(p, 0) },
		"rubbish":   func(p string) error { return os.WriteFile(p, []byte("\x00\xff{{{\n"), 0o600) },
		"too long":  func(p string) error { return os.Truncate(p, 1<<30) },
		"gone":      os.Remove,
		"directory": func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			victim := e.run(plugin.Info{ContainerID: "victim"})
			innocent := e.run(plugin.Info{ContainerID: "innocent", ContainerLabels: map[string]string{"aliyun.logs.web": "stdout"}})
			victim.write("one")
			innocent.write("one")
			e.eventually("docker", "one")
			e.terminate()
			victim.write("two")
			dirs, err := filepath.Glob(filepath.Join(e.dir, "state", "streams", "victim-*"))
			require.NoError(t, err)
			require.Len(t, dirs, 1)
			require.NoError(t, damage(filepath.Join(dirs[0], "manifest.json")))
			e.start()
			victim.write("three")
			innocent.write("two")
			victim.stop()
			innocent.stop()
			require.Eventually(t, func() bool { return len(e.lines("docker")) >= 3 }, time.Minute, 20*time.Millisecond,
				"docker has %v", e.lines("docker"))
			require.Subset(t, e.lines("docker"), []string{"one", "two", "three"})
			e.eventually("web", "one", "two")
			e.nothingLeft()
		})
	}
}

// The output is changed while the backend is down: the new one gets everything that was not acknowledged, nothing that
// was, and no gap.
func TestOutputIsChanged(t *testing.T) {
	e := newEngine(t)
	c := e.run(plugin.Info{ContainerID: "c0ffee"})
	c.write("acknowledged")
	e.eventually("docker", "acknowledged")
	require.Eventually(t, func() bool { return !strings.Contains(e.get("/status"), `"lag_bytes":1`) }, time.Second, 10*time.Millisecond)
	e.terminate()
	e.with("LOGGING_OUTPUT=http", "HTTP_URL=http://127.0.0.1:1/")
	e.start()
	for i := range 10 {
		c.write(fmt.Sprint(i))
	}
	e.terminate()
	e.with("LOGGING_OUTPUT=file")
	e.start()
	c.write("last")
	c.stop()
	e.eventually("docker", "acknowledged", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "last")
	e.nothingLeft()
}

// A process without a descriptor left starts containers all the same, and captures them as soon as there is one.
func TestContainersStartWithoutDescriptors(t *testing.T) {
	e := newEngine(t)
	first := e.run(plugin.Info{ContainerID: "first"})
	first.write("first")
	e.eventually("docker", "first")
	limit := func(n int) {
		require.NoError(t, unix.Prlimit(e.driver.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(n), Max: 1024}, nil))
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", e.driver.Process.Pid))
	require.NoError(t, err)
	limit(len(open) + 1)
	want := []string{"first", "first again"}
	var containers []*container
	for i := range 10 {
		e.client.CloseIdleConnections()
		id := fmt.Sprintf("late-%d", i)
		c := e.run(plugin.Info{ContainerID: id})
		c.write(id)
		containers, want = append(containers, c), append(want, id)
	}
	first.write("first again")
	containers[9].stop() // it ends before its FIFO could be opened
	limit(1024)
	first.stop()
	require.Eventually(t, func() bool { return len(e.lines("docker")) >= len(want)-1 }, time.Minute, 20*time.Millisecond)
	for _, c := range containers[:9] {
		c.stop()
	}
	require.Eventually(t, func() bool { return len(e.lines("docker")) >= len(want) }, time.Minute, 20*time.Millisecond)
	got := e.lines("docker")
	if i := slices.Index(got, "gap: no file descriptors left <nil>"); i >= 0 {
		got[i] = "late-9" // said to be lost
	}
	require.ElementsMatch(t, want, got)
	e.nothingLeft()
	e.terminate()
	require.Contains(t, e.stderr.String(), "no file descriptor left")
}

// A second process on the same state directory is told of the first, and does not touch what is there.
func TestASecondProcessOnOneStateDirectory(t *testing.T) {
	e := newEngine(t)
	c := e.run(plugin.Info{ContainerID: "c0ffee"})
	c.write("one")
	other := &engine{t: t, dir: t.TempDir(), env: e.env, program: e.program}
	other.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", other.socket())
	}}
	other.start()
	other.terminate()
	require.Contains(t, other.stderr.String(), fmt.Sprintf("is in use by process %d", e.driver.Process.Pid))
	c.write("two")
	c.stop()
	e.eventually("docker", "one", "two")
	e.nothingLeft()
}

var frame1K = framestest.Line("%01000d", 7)

func TestHeldUpIsShown(t *testing.T) {
	e := newEngine(t, "LOGGING_OUTPUT=http", "HTTP_URL=http://127.0.0.1:1/", "REMORA_SPOOL_MAX_BYTES_PER_CONTAINER=1048576")
	c := e.run(plugin.Info{ContainerID: "c0ffee", ContainerName: "/slow",
		Config: map[string]string{"when-full": "block", "block-timeout": "1m"}})
	go func() {
		for range 3000 {
			if _, err := c.fifo.Write(frame1K); err != nil {
				return // the test is over
			}
		}
	}()
	require.Eventually(t, func() bool { return strings.Contains(e.get("/status"), "held up since") }, time.Minute, 50*time.Millisecond)
	e.kill()
	require.NoError(t, c.fifo.Close())
}
