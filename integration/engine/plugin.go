// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Inside the plugin its state lies here; the engine keeps the directory through upgrades.
const stateDir = "/var/lib/remora"

// fifoDir is where the engine makes FIFOs inside the plugin.
const fifoDir = "/run/docker/logging/"

// Logs is where plugins of this package have the output file write, as the plugin sees it.
const Logs = stateDir + "/logs"

// Plugin is the driver as a managed plugin of an engine.
type Plugin struct {
	*Engine
	// Name is what containers give as --log-driver.
	Name string
	// ID is the engine's.
	ID string

	forced bool
}

// NewPlugin installs what `make bin/plugin` has made under a name of the test's own, with these settings, and enables
// it. In the end it is disabled, without force, and removed: that this works is part of what is tested, since a leaked
// reference makes the engine refuse.
func (e *Engine) NewPlugin(t testing.TB, settings ...string) *Plugin {
	t.Helper()
	p := e.CreatePlugin(t, "remora-test:latest")
	p.Set(t, "LOGGING_OUTPUT=file", "FILE_PATH="+Logs, "FILE_ROTATE_SIZE=4194304")
	p.Set(t, settings...)
	p.Enable(t)
	return p
}

// CreatePlugin makes a plugin of bin/plugin and leaves it disabled.
func (e *Engine) CreatePlugin(t testing.TB, name string) *Plugin {
	t.Helper()
	_, _ = e.Try("plugin", "rm", "--force", name) // what an interrupted run left
	e.Docker(t, "plugin", "create", name, filepath.Join(Root(t), "bin", "plugin"))
	return e.OpenPlugin(t, name)
}

// OpenPlugin is a plugin that the engine has, in whatever state. The test's end removes it.
func (e *Engine) OpenPlugin(t testing.TB, name string) *Plugin {
	t.Helper()
	p := &Plugin{Engine: e, Name: name}
	p.ID = e.Docker(t, "plugin", "inspect", "--format", "{{.Id}}", name)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what the plugin said last:\n%s", p.tail(t, 30))
		}
		if p.enabled() {
			if _, err := e.Try("plugin", "disable", fmt.Sprintf("--force=%v", p.forced), name); err != nil {
				t.Error(err)
			}
		}
		if _, err := e.Try("plugin", "rm", "--force", name); err != nil {
			t.Error(err)
		}
	})
	return p
}

// Set changes settings; the plugin has to be disabled.
func (p *Plugin) Set(t testing.TB, settings ...string) {
	t.Helper()
	if len(settings) > 0 {
		p.Docker(t, append([]string{"plugin", "set", p.Name}, settings...)...)
	}
}

// Enable starts the plugin.
func (p *Plugin) Enable(t testing.TB) { t.Helper(); p.Docker(t, "plugin", "enable", p.Name) }

// Disable stops the plugin; force does so while containers use it. The engine (20.10) counts those containers as users
// ever after, even once they are gone and StopLogging was answered for each, so that from then on only force disables it.
func (p *Plugin) Disable(t testing.TB, force bool) {
	t.Helper()
	p.forced = p.forced || force
	p.Docker(t, "plugin", "disable", fmt.Sprintf("--force=%v", force), p.Name)
}

func (p *Plugin) enabled() bool {
	out, err := p.Try("plugin", "inspect", "--format", "{{.Enabled}}", p.Name)
	return err == nil && out == "true"
}

// State is the plugin's state directory as this machine sees it.
func (p *Plugin) State() string { return filepath.Join(p.root, "plugins", p.ID, "propagated-mount") }

// Output is where the output file writes, as this machine sees it.
func (p *Plugin) Output() string { return p.State() + strings.TrimPrefix(Logs, stateDir) }

// Inside is the path, as this machine sees it, of a file in the plugin's own file system, while the plugin runs.
func (p *Plugin) Inside(t testing.TB, path string) string {
	t.Helper()
	return fmt.Sprintf("/proc/%d/root%s", p.PID(t), path)
}

// FIFOs names those that the engine has made for containers, as the plugin sees them. Their names are the engine's own.
func (p *Plugin) FIFOs(t testing.TB) []string {
	t.Helper()
	all, err := os.ReadDir(p.Inside(t, fifoDir))
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range all {
		paths = append(paths, fifoDir+f.Name())
	}
	return paths
}

// Kill ends the plugin's process with SIGKILL and returns once the engine has started another.
func (p *Plugin) Kill(t testing.TB) {
	t.Helper()
	old := p.PID(t)
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatalf("killing the plugin: %v", err)
	}
	Eventually(t, 20*time.Second, func() (bool, string) {
		pid := p.pid()
		return pid != 0 && pid != old, "the engine has not started the killed plugin again"
	})
}

// PID is the plugin's process.
func (p *Plugin) PID(t testing.TB) int {
	t.Helper()
	pid := 0
	Eventually(t, 20*time.Second, func() (bool, string) {
		pid = p.pid()
		return pid != 0, "the plugin has no process"
	})
	return pid
}

// pid finds the plugin's process: the one that runs the driver and has the plugin's own directory as its root.
func (p *Plugin) pid() int {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range all {
		if exe, err := os.Readlink(proc + "/exe"); err != nil || filepath.Base(exe) != "remora-driver" {
			continue
		}
		if mounts, err := os.ReadFile(proc + "/mountinfo"); err == nil && p.isRoot(string(mounts)) {
			pid, _ := strconv.Atoi(filepath.Base(proc))
			return pid
		}
	}
	return 0
}

// isRoot reports whether the plugin's directory is mounted at / in mountinfo (proc_pid_mountinfo(5)). On the machine, where others
// may run the driver as well, it is mounted elsewhere.
func (p *Plugin) isRoot(mountinfo string) bool {
	const root, point = 3, 4
	for line := range strings.Lines(mountinfo) {
		if f := strings.Fields(line); len(f) > point && f[point] == "/" && strings.Contains(f[root], p.ID) {
			return true
		}
	}
	return false
}

// Said is what the plugin has logged since since.
func (p *Plugin) Said(t testing.TB, since time.Time) []string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(p.Log(t, since)) {
		if strings.Contains(line, p.ID) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func (p *Plugin) tail(t testing.TB, n int) string {
	lines := p.Said(t, time.Time{})
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
