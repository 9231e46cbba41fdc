// SPDX-License-Identifier: Apache-2.0

// Package containerd_test runs remora-logger and the node agent on a real containerd.
package containerd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/verify"
)

// machine is a containerd of its own, the logging binary, and a node agent that delivers to files.
type machine struct {
	t          *testing.T
	dir        string
	containerd *exec.Cmd
	agent      *exec.Cmd
	log        string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "rc") // a socket's path has to be short
	need(t, err)
	m := &machine{t: t, dir: dir, log: filepath.Join(dir, "log")}
	t.Cleanup(func() {
		if t.Failed() {
			for _, name := range []string{"containerd.log", "agent.log"} {
				b, _ := os.ReadFile(filepath.Join(dir, name))
				t.Logf("%s:\n%s", name, b[max(0, len(b)-4000):])
			}
		}
		need(t, os.RemoveAll(dir))
		need(t, os.RemoveAll(filepath.Join("/run/containerd/runc", m.namespace()))) // shims of both versions put runc's state there
	})
	m.build("remora-logger", "../../containerd")
	m.build("remora-node", "../../node")
	m.build("rootfs/generator", "../generator")
	for _, name := range []string{"proc", "dev", "sys", "run"} {
		need(t, os.MkdirAll(filepath.Join(dir, "rootfs", name), 0o755))
	}
	config := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", "+
		"\"io.containerd.cri.v1.images\", \"io.containerd.cri.v1.runtime\", \"io.containerd.nri.v1.nri\"]\n[grpc]\n  address = %q\n",
		filepath.Join(dir, "root"), filepath.Join(dir, "state"), m.socket())
	need(t, os.WriteFile(filepath.Join(dir, "config.toml"), []byte(config), 0o600))
	m.startContainerd()
	return m
}

// program is one of containerd's: TEST_CONTAINERD names a directory with another version than the installed one.
func program(name string) string {
	if dir := os.Getenv("TEST_CONTAINERD"); dir != "" {
		return filepath.Join(dir, name)
	}
	return name
}

func (m *machine) startContainerd() {
	m.t.Helper()
	path := "PATH=" + os.Getenv("TEST_CONTAINERD") + ":" + os.Getenv("PATH") // its shim is looked for there
	m.containerd = m.start("containerd.log", []string{path}, program("containerd"), "--config", filepath.Join(m.dir, "config.toml"))
	m.t.Cleanup(m.removeAll)
	eventually(m.t, func() bool { return m.command("version").Run() == nil }, 20*time.Second)
}

// removeAll removes what a test that failed has left.
func (m *machine) removeAll() {
	if m.containerd.ProcessState != nil {
		return // this was an earlier one
	}
	tasks, _ := m.command("tasks", "ls", "--quiet").Output()
	for id := range strings.FieldsSeq(string(tasks)) {
		_ = m.command("tasks", "kill", "--signal", "SIGKILL", id).Run()
		_ = m.command("tasks", "delete", "--force", id).Run()
	}
}

func (m *machine) build(name, source string) {
	m.t.Helper()
	path := filepath.Join(m.dir, name)
	need(m.t, os.MkdirAll(filepath.Dir(path), 0o755))
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, ".")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	need(m.t, err, "%s", out)
}

// start starts a process whose end the test's end is.
func (m *machine) start(log string, env []string, name string, args ...string) *exec.Cmd {
	m.t.Helper()
	f, err := os.OpenFile(filepath.Join(m.dir, log), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	need(m.t, err)
	defer f.Close()
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), f, f
	need(m.t, cmd.Start())
	m.t.Cleanup(func() { stop(cmd) })
	return cmd
}

func stop(cmd *exec.Cmd) {
	if cmd.ProcessState == nil {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
}

func (m *machine) socket() string { return filepath.Join(m.dir, "c.sock") }
func (m *machine) spool() string  { return filepath.Join(m.dir, "spool") }

func (m *machine) command(args ...string) *exec.Cmd {
	return exec.Command(program("ctr"), append([]string{"--address", m.socket(), "--namespace", m.namespace()}, args...)...)
}

// namespace is this machine's alone: runc keeps the state of all in one directory.
func (m *machine) namespace() string { return filepath.Base(m.dir) }

func (m *machine) ctr(args ...string) {
	m.t.Helper()
	out, err := m.command(args...).CombinedOutput()
	need(m.t, err, "ctr %v: %s", args, out)
}

// uri is what a container's log URI has to be.
func (m *machine) uri() string {
	return "binary://" + filepath.Join(m.dir, "remora-logger") + "?spool=" + m.spool()
}

// run starts a container, and returns when containerd has.
func (m *machine) run(id string, args ...string) {
	m.t.Helper()
	m.ctr(append([]string{"run", "--detach", "--log-uri", m.uri(), "--env", "aliyun_logs_" + id + "=stdout", "--rootfs",
		filepath.Join(m.dir, "rootfs"), id, "/generator", "--name", id}, args...)...)
}

// remove waits for a container's process to end, and deletes it as an operator does.
func (m *machine) remove(id string) {
	m.t.Helper()
	eventually(m.t, func() bool {
		out, _ := m.command("tasks", "ls").Output()
		for line := range strings.Lines(string(out)) {
			if f := strings.Fields(line); len(f) == 3 && f[0] == id {
				return f[2] == "STOPPED"
			}
		}
		return true
	}, time.Minute, "%s does not end", id)
	began := time.Now()
	out, err := m.command("tasks", "delete", id).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "no running task") { // containerd 2 deletes some itself when it starts
		m.t.Fatalf("ctr tasks delete %s: %v: %s", id, err, out)
	}
	if took := time.Since(began); took > 10*time.Second {
		m.t.Fatalf("deleting %s took %v", id, took)
	}
	m.ctr("containers", "delete", id)
}

// startAgent starts the node agent; env replaces settings.
func (m *machine) startAgent(env ...string) {
	m.t.Helper()
	m.agent = m.start("agent.log", append([]string{"REMORA_STATE_DIR=" + filepath.Join(m.dir, "s"), "LOGGING_OUTPUT=file",
		"FILE_PATH=" + filepath.Join(m.dir, "out"), "REMORA_CONTAINERD_SPOOL=" + m.spool(),
		"REMORA_LOGGER=" + filepath.Join(m.dir, "remora-logger"), "REMORA_HOST_ROOT=" + filepath.Join(m.dir, "rootfs"),
		"REMORA_HISTORY_BYTES=0",
		"DOCKER_HOST=unix:///nowhere.sock", "REMORA_CRI_SOCKET=/nowhere.sock", "CONTAINERD_ADDRESS=" + m.socket()}, env...), filepath.Join(m.dir, "remora-node"))
}

// verify checks that every line of a container was delivered once, and in order.
func (m *machine) verify(id string, lines int) {
	m.t.Helper()
	log := verify.Open(filepath.Join(m.dir, "out", id+".log"))
	for _, stream := range []string{"stdout", "stderr"} {
		log.ExactlyOnce(m.t, time.Minute, id, stream, lines)
	}
}

// verifyAll does the same for the containers c0, c1 and so on, and waits but once for what may come twice.
func (m *machine) verifyAll(containers, lines int) {
	m.t.Helper()
	logs := make([]*verify.Log, containers)
	for i := range logs {
		logs[i] = verify.Open(filepath.Join(m.dir, "out", fmt.Sprintf("c%d.log", i)))
		for _, stream := range []string{"stdout", "stderr"} {
			logs[i].Await(m.t, time.Minute, fmt.Sprintf("c%d", i), stream, lines)
		}
	}
	time.Sleep(time.Second)
	for i, log := range logs {
		log.Read(m.t)
		for _, stream := range []string{"stdout", "stderr"} {
			if n := log.Numbers(fmt.Sprintf("c%d", i), stream); n.Distinct != lines || n.Twice != 0 || n.Disorder != 0 {
				m.t.Errorf("c%d (%s): %d different lines of %d, %d twice, %d out of order", i, stream, n.Distinct, lines, n.Twice, n.Disorder)
			}
		}
	}
}

func (m *machine) nothingLeft() {
	m.t.Helper()
	eventually(m.t, func() bool {
		left, _ := filepath.Glob(filepath.Join(m.spool(), "*", "manifest.json"))
		return len(left) == 0
	}, 30*time.Second, "something is left in the spool")
}

// Many containers at once, the agent started when some have ended already: every line of all arrives once, starts are
// quick, and nothing is left.
func TestContainers(t *testing.T) {
	m := newMachine(t)
	const containers, lines = 20, 2000
	var all sync.WaitGroup
	for i := range containers {
		all.Go(func() {
			m.run(fmt.Sprintf("c%d", i), "--lines", fmt.Sprint(lines), "--streams", "both", "--size", "190")
		})
	}
	all.Wait()
	for i := range containers / 2 {
		m.remove(fmt.Sprintf("c%d", i))
	}
	m.startAgent()
	for i := containers / 2; i < containers; i++ {
		m.remove(fmt.Sprintf("c%d", i))
	}
	m.verifyAll(containers, lines)
	m.nothingLeft()
}

// The logger of a container is killed, and containerd too: the container keeps running, and all its lines arrive once.
func TestLoggerAndContainerdAreKilled(t *testing.T) {
	m := newMachine(t)
	m.startAgent()
	const lines = 20_000
	m.run("victim", "--lines", fmt.Sprint(lines), "--streams", "both", "--rate", "2000")
	m.run("innocent", "--lines", "2000", "--streams", "both", "--rate", "1000")
	eventually(t, func() bool { return m.held() == 2 }, 10*time.Second)
	for range 3 {
		logger := m.loggerOf("victim")
		need(t, logger.Kill())
		eventually(t, func() bool { return m.held() == 2 && m.loggerOf("victim").Pid != logger.Pid }, 10*time.Second)
	}
	need(t, m.containerd.Process.Kill())
	_ = m.containerd.Wait()
	m.startContainerd()
	m.remove("victim")
	m.remove("innocent")
	m.verify("victim", lines)
	m.verify("innocent", 2000)
	m.nothingLeft()
}

// held asks the agent of how many containers it holds descriptors.
func (m *machine) held() (n int) {
	out, err := exec.Command("curl", "-s", "--unix-socket", filepath.Join(m.dir, "s", "status.sock"), "http://status/metrics").Output()
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(out)) {
		if _, err := fmt.Sscanf(line, "remora_loggers_held %d", &n); err == nil {
			return n
		}
	}
	return -1
}

// loggerOf finds the process of this machine's logging binary that captures a container: the one that has the lock of its
// log open, and whose program is this test's own.
func (m *machine) loggerOf(id string) *os.Process {
	m.t.Helper()
	var found *os.Process
	eventually(m.t, func() bool {
		links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
		for _, link := range links {
			target, err := os.Readlink(link)
			if err != nil || !strings.HasPrefix(target, m.spool()+"/") || !strings.HasSuffix(target, "/lock") ||
				!strings.Contains(target, "_"+id+"_") {
				continue
			}
			var pid int
			if _, err := fmt.Sscanf(link, "/proc/%d/", &pid); err != nil || pid <= 1 {
				continue
			}
			exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
			if err != nil || exe != filepath.Join(m.dir, "remora-logger") {
				continue // nobody but this test's own loggers
			}
			if found, err = os.FindProcess(pid); err == nil {
				return true
			}
		}
		return false
	}, 10*time.Second, "nobody captures %s", id)
	return found
}

// need ends the test where err is not nil.
func need(t *testing.T, err error, format ...any) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", text(format), err)
	}
}

// eventually ends the test where condition does not become true in time.
func eventually(t *testing.T, condition func() bool, within time.Duration, format ...any) {
	t.Helper()
	for deadline := time.Now().Add(within); !condition(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, text(format))
		}
	}
}

// text is a format and its operands, if there are any.
func text(format []any) string {
	if len(format) == 0 {
		return "the condition"
	}
	return fmt.Sprintf(format[0].(string), format[1:]...)
}
