// SPDX-License-Identifier: Apache-2.0

//go:build soak

package soak

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

// name is what a container's lines begin with, and the stream that they arrive on.
type name struct{ name, stream string }

// ways are the plugin, the node agent with containers of the engine and of containerd's logging binary, and the sidecar.
type ways struct {
	engine    *engine.Engine
	image     string
	plugin    *engine.Plugin
	dir       string // of all that is not the plugin's
	logger    string
	processes []*process
	names     []name
}

func newWays(t *testing.T, b *backends) *ways {
	e := engine.New(t)
	dir, err := os.MkdirTemp("", "rs") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &ways{engine: e, image: e.Generator(t), dir: dir, logger: bin(t, "remora-logger")}
	config := filepath.Join(dir, "remora.yml")
	for _, d := range []string{"logs", "bundles"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, config, b.config())
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "generator"), "../generator")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the generator: %v: %s", err, out)
	}
	w.startPlugin(t, b)
	common := []string{outputs, "REMORA_CONFIG=" + config, "REMORA_PPROF=true", "REMORA_HISTORY_BYTES=0"}
	w.start(t, "remora-node", "node", append(common, "REMORA_RUNTIME=docker", "REMORA_HOST_ROOT=/", "DOCKER_HOST="+e.Host(),
		"REMORA_CONTAINERD_SPOOL="+w.spool(), "REMORA_LOGGER="+w.logger)...)
	w.start(t, "remora-sidecar", "sidecar", append(common, "aliyun_logs_app="+filepath.Join(dir, "logs")+"/*.log")...)
	return w
}

func bin(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(engine.Root(t), "bin", name)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *ways) spool() string { return filepath.Join(w.dir, "spool") }

func (w *ways) startPlugin(t *testing.T, b *backends) {
	w.plugin = w.engine.CreatePlugin(t, "remora-soak:latest")
	if err := os.MkdirAll(w.plugin.State(), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(w.plugin.State(), "remora.yml"), b.config())
	w.plugin.Set(t, outputs, "REMORA_CONFIG=/var/lib/remora/remora.yml", "REMORA_PPROF=true", "REMORA_HISTORY_BYTES=0")
	w.plugin.Enable(t)
	w.processes = append(w.processes, &process{
		name: "driver", pid: w.plugin.PID(t), socket: w.plugin.Inside(t, "/run/docker/plugins/status.sock"),
		state: []string{w.plugin.State()},
	})
}

// start runs a program in a state directory of its own.
func (w *ways) start(t *testing.T, program, name string, settings ...string) {
	t.Helper()
	state := filepath.Join(w.dir, name)
	said, err := os.Create(filepath.Join(w.dir, name+".said"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	cmd := exec.Command(bin(t, program))
	cmd.Env = append([]string{"REMORA_STATE_DIR=" + state}, settings...)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(said.Name())
			t.Logf("what %s said last:\n%s", name, text[max(0, len(text)-3000):])
		}
	})
	p := &process{name: name, pid: cmd.Process.Pid, socket: filepath.Join(state, "status.sock"), state: []string{state}}
	if name == "node" {
		p.state = append(p.state, w.spool())
	}
	w.processes = append(w.processes, p)
}

// next is the way that container i takes.
func (w *ways) next(i int) (name, func(string) error) {
	switch i % 4 {
	case 0:
		return name{fmt.Sprintf("driver%d", i), "stdout"}, func(n string) error { return w.docker(n, "remora-soak") }
	case 1:
		return name{fmt.Sprintf("node%d", i), "stdout"}, func(n string) error { return w.docker(n, "json-file") }
	case 2:
		return name{fmt.Sprintf("containerd%d", i), "stdout"}, w.containerd
	default:
		return name{fmt.Sprintf("sidecar%d", i), ""}, w.file
	}
}

func generator(name string) []string {
	return []string{"-name", name, "-lines", fmt.Sprint(lines), "-rate", fmt.Sprint(int(lines / life.Seconds())), "-size", "100"}
}

// docker runs a container, and removes it as soon as it has ended.
func (w *ways) docker(name, driver string) error {
	args := append([]string{"run", "--rm", "--attach", "stderr", "--network", "none", "--log-driver", driver,
		"--label", "aliyun.logs." + name + "=stdout", w.image}, generator(name)...)
	_, err := w.engine.Try(args...)
	return err
}

// containerd does what the shim does with a logging binary: it starts it with the container's streams and a pipe that tells
// when it is ready, then the container, and waits for both.
func (w *ways) containerd(name string) (err error) {
	bundle := filepath.Join(w.dir, "bundles", name)
	if err := os.Mkdir(bundle, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(bundle)
	spec := fmt.Sprintf(`{"process":{"env":["aliyun_logs_%s=stdout"]}}`, name)
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), []byte(spec), 0o600); err != nil {
		return err
	}
	var theirs, ours [3]*os.File // stdout, stderr, ready
	for i := range theirs {
		r, wr, err := os.Pipe()
		if err != nil {
			return err
		}
		theirs[i], ours[i] = r, wr
	}
	theirs[2], ours[2] = ours[2], theirs[2]
	logger := exec.Command(w.logger, "spool", w.spool())
	logger.Dir, logger.ExtraFiles = bundle, theirs[:]
	logger.Env = []string{"CONTAINER_ID=" + name, "CONTAINER_NAMESPACE=soak"}
	err = logger.Start()
	for _, f := range theirs {
		f.Close()
	}
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, ours[2])
	container := exec.Command(filepath.Join(w.dir, "generator"), generator(name)...)
	container.Stdout, container.Stderr = ours[0], ours[1]
	err = container.Run()
	for _, f := range ours {
		f.Close()
	}
	if err != nil {
		return err
	}
	return logger.Wait()
}

// file writes a file on the sidecar's volume, which is renamed once in between, and deletes both soon after the last line.
func (w *ways) file(name string) error {
	path := filepath.Join(w.dir, "logs", name+".log")
	cmd := exec.Command(filepath.Join(w.dir, "generator"), append(generator(name), "-file", path, "-rotate", fmt.Sprint(lines*2/3))...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	time.Sleep(3 * time.Second) // the sidecar has the new file open by now
	if err := os.Remove(path + ".1"); err != nil {
		return err
	}
	return os.Remove(path)
}
