// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/manifest"
	"github.com/remora-logs/remora/shared/spool"
)

// logged is a container that a logging binary captures.
type logged struct {
	t    *testing.T
	log  *spool.Log
	pipe [2]int
}

func newLogged(t *testing.T, dir string, c *manifest.Container) *logged {
	t.Helper()
	l := &logged{t: t}
	require.NoError(t, unix.Pipe2(l.pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC))
	t.Cleanup(func() { unix.Close(l.pipe[0]); unix.Close(l.pipe[1]) })
	c.Started = time.Now()
	encoded, err := c.Encode()
	require.NoError(t, err)
	s := spool.OpenWriter(spool.Options{Dir: dir, MaxBytes: 1 << 30, Log: slog.New(slog.DiscardHandler)})
	l.log, err = s.Write(c.Key(), encoded, spool.LogOptions{Raw: true, MaxBytes: 1 << 30})
	require.NoError(t, err)
	return l
}

func (l *logged) write(std spool.Std, text string) {
	l.t.Helper()
	_, err := unix.Write(l.pipe[1], []byte(text))
	require.NoError(l.t, err)
	for err == nil {
		_, err = l.log.TakeFrom(l.pipe[0], std)
	}
	require.ErrorIs(l.t, err, spool.ErrEmpty)
}

// What logging binaries capture is delivered as files are, with the same declarations and tags, also what they captured
// while no agent ran, and nothing twice.
func TestLoggingBinariesAreDelivered(t *testing.T) {
	m := newMachine(t, "")
	dir := filepath.Join(t.TempDir(), "containerd")
	m.environ["REMORA_CONTAINERD_SPOOL"] = dir
	m.environ["REMORA_HISTORY_BYTES"] = "0" // what is delivered is removed
	stop := m.run()                         // before the spool exists
	web := newLogged(t, dir, &manifest.Container{Runtime: "containerd", Namespace: "default", ID: "c1",
		Labels: map[string]string{"nerdctl/name": "web"}, Env: []string{"aliyun_logs_access=stdout", "aliyun_logs_access_tags=team=a"}})
	plain := newLogged(t, dir, &manifest.Container{Runtime: "containerd", Namespace: "default", ID: "c2"})
	web.write(spool.Stdout, "to out\nhalf ")
	web.write(spool.Stderr, "to err\n")
	plain.write(spool.Stdout, "plain\n")
	all := m.await(3)
	require.Equal(t, []string{"plain", "to err", "to out"}, messages(all))
	for _, r := range all {
		switch r["message"] {
		case "to err":
			require.Subset(t, r, map[string]any{"stream": "stderr", "source": "stdout", "team": "a", "docker_container": "web",
				"container_id": "c1", "host": "node-1"})
		case "plain":
			require.Subset(t, r, map[string]any{"stream": "stdout", "docker_container": "c2"})
		}
	}
	stop()

	web.write(spool.Stdout, "a line\n")
	require.NoError(t, web.log.EndWriter())
	require.NoError(t, os.Truncate(filepath.Join(dir, plain.log.Key(), "manifest.json"), 3))
	plain.write(spool.Stdout, "without its manifest\n")
	require.NoError(t, plain.log.EndWriter())
	stop = m.run()
	require.Equal(t, []string{"half a line", "plain", "to err", "to out", "without its manifest"}, messages(m.await(5)))
	require.Eventually(t, func() bool {
		_, first := os.Stat(filepath.Join(dir, web.log.Key()))
		_, second := os.Stat(filepath.Join(dir, plain.log.Key()))
		return errors.Is(first, os.ErrNotExist) && errors.Is(second, os.ErrNotExist)
	}, 10*time.Second, 20*time.Millisecond, "what is delivered is not removed")
	require.Len(t, m.records(), 5)
	stop()
}

// Labels that become known when a log was delivered in part, by the default declaration, are those of the rest. What was
// delivered is not sent again under their names.
func TestLabelsThatBecomeKnown(t *testing.T) {
	m := newMachine(t, "")
	dir := filepath.Join(t.TempDir(), "containerd")
	m.environ["REMORA_CONTAINERD_SPOOL"] = dir
	stop := m.run()
	web := newLogged(t, dir, &manifest.Container{Runtime: "containerd", Namespace: "default", ID: "c1"})
	web.write(spool.Stdout, "before\n")
	require.Equal(t, []string{"before"}, messages(m.await(1)))
	stop()
	known := &manifest.Known{Image: "nginx:1", Labels: map[string]string{"aliyun.logs.out": "stdout", "aliyun.logs.out.tags": "team=a", "nerdctl/name": "web"}}
	require.NoError(t, known.Store(filepath.Join(dir, web.log.Key())))
	stop = m.run()
	web.write(spool.Stdout, "after\n")
	require.Equal(t, []string{"after", "before"}, messages(m.await(2)))
	require.Subset(t, m.all[1], map[string]any{"message": "after", "image": "nginx:1", "team": "a", "docker_container": "web"})
	stop()
	excluded := &manifest.Known{Labels: map[string]string{"remora.io/exclude": "true"}}
	require.NoError(t, excluded.Store(filepath.Join(dir, web.log.Key())))
	web.write(spool.Stdout, "nobody wants this\n")
	plain := newLogged(t, dir, &manifest.Container{Runtime: "containerd", Namespace: "default", ID: "c2"})
	plain.write(spool.Stdout, "plain\n")
	stop = m.run()
	require.Equal(t, []string{"after", "before", "plain"}, messages(m.await(3)))
	stop()
	require.Len(t, m.records(), 3)
}

// Rules choose captured output as they choose any other, by what is stored beside its log too.
func TestRulesChooseCapturedOutput(t *testing.T) {
	m := newMachine(t, `
collect:
- name: shop
  match: {runtime: containerd, container: web, image: "nginx:*", label: {tier: web}, env: {STAGE: prod}}
  logs:
    console: {path: stdout, tags: {from: rule}}
`)
	dir := filepath.Join(t.TempDir(), "containerd")
	m.environ["REMORA_CONTAINERD_SPOOL"] = dir
	for id, stage := range map[string]string{"c1": "prod", "c2": "test"} {
		c := newLogged(t, dir, &manifest.Container{Runtime: "containerd", Namespace: "default", ID: id, Labels: map[string]string{"nerdctl/name": "web"}})
		known := &manifest.Known{Image: "nginx:1", Labels: map[string]string{"tier": "web"}, Env: []string{"STAGE=" + stage}}
		require.NoError(t, known.Store(filepath.Join(dir, c.log.Key())))
		c.write(spool.Stdout, stage+"\n")
	}
	stop := m.run()
	require.Equal(t, []string{"prod", "test"}, messages(m.await(2)))
	for _, r := range m.all {
		if r["message"] == "prod" {
			require.Equal(t, "rule", r["from"])
		} else {
			require.NotContains(t, r, "from")
		}
	}
	stop()
}
