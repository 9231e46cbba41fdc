// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/sink"
)

// binary is the sidecar, as it is now.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "remora-web")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "remora-sidecar")
	build := exec.Command("go", "build", "-o", path, "./sidecar")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// sidecar is a running sidecar.
type sidecar struct {
	url, logs string
	process   *os.Process
}

func run(t *testing.T, environ ...string) *sidecar {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	state, err := os.MkdirTemp("", "remora") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sidecar{url: "http://" + l.Addr().String() + "/", logs: t.TempDir()}
	_ = l.Close()
	cmd := exec.Command(path)
	cmd.Env = append([]string{"REMORA_STATE_DIR=" + state, "REMORA_LISTEN=" + l.Addr().String(), "REMORA_RETRY_MAX=1s", "REMORA_DRAIN_TIMEOUT=1ms"}, environ...)
	for i := range cmd.Env {
		cmd.Env[i] = strings.ReplaceAll(cmd.Env[i], "LOGS", s.logs)
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.process = cmd.Process
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		_ = os.RemoveAll(state)
		if t.Failed() {
			t.Logf("the sidecar said: %s", said.String())
		}
	})
	for {
		resp, err := http.Get(s.url + "readyz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s
			}
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the sidecar does not get ready")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// write appends lines to a file of the sidecar's until stop is closed, so many a second.
func (s *sidecar) write(t *testing.T, name string, perSecond int, line func(i int) string) (stop func()) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(s.logs, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		every := time.NewTicker(20 * time.Millisecond)
		defer every.Stop()
		begun, i := time.Now(), 0
		for {
			select {
			case <-done:
				return
			case <-every.C:
			}
			var b strings.Builder
			for want := int(time.Since(begun).Seconds() * float64(perSecond)); i < want; i++ {
				b.WriteString(line(i) + "\n")
			}
			_, _ = io.WriteString(f, b.String())
		}
	})
	return func() { close(done); writer.Wait(); _ = f.Close() }
}

// A container writes 10,000 lines a second. Its tail shows what it can, masked, says how much that is not, and the page
// answers all the while; all lines are delivered.
func TestTailOfTenThousandLinesASecond(t *testing.T) {
	backend := sink.New(t, sink.Healthy)
	s := run(t, append(backend.Settings(), "aliyun_logs_app=LOGS/app.log", `aliyun_logs_app_mask=token=[a-z0-9]+ => token=***`)...)
	stop := s.write(t, "app.log", 10_000, func(i int) string { return fmt.Sprintf("line %d token=secret%d <b>bold</b>", i, i) })
	b := open(t, s.url)
	b.await(loaded)
	b.call(`document.querySelector('#rows tbody a').click()`)
	b.await(`document.querySelector('#tail-log').value`)
	b.call(`document.querySelector('#tail-start').click()`)
	b.await(`document.querySelectorAll('#tail div bdi').length > 500 && document.querySelector('#tail .missed')`)
	b.accessible("the tail")
	for range 20 {
		if n := js[int](b, `document.querySelectorAll('#tail > div').length`); n > 1000 {
			t.Fatalf("%d lines are kept", n)
		}
	}
	text := js[string](b, `document.querySelector('#tail').textContent`)
	if strings.Contains(text, "secret") || !strings.Contains(text, "<b>bold</b>") {
		t.Fatalf("not masked, or not as it was written: %.300q", text)
	}
	slowest := js[float64](b, `new Promise(done => { let last = performance.now(), most = 0, n = 0; const frame = now => {
		most = Math.max(most, now - last); last = now; if (++n < 60) requestAnimationFrame(frame); else done(most) }; requestAnimationFrame(frame) })`)
	t.Logf("the longest frame took %.0f ms", slowest)
	b.call(`document.querySelector('#tail-start').click()`)
	b.await(`document.querySelector('#tail-state').textContent === 'Stopped.'`)
	stop()
	b.call(`location.hash = '#/'`)
	b.await(`[...document.querySelectorAll('#rows td.good')].some(e => e.textContent === 'done')`)
	written := countLines(t, filepath.Join(s.logs, "app.log"))
	b.until(func() bool { return countLines(t, backend.Path) >= written }, "all lines are delivered")
	if taken := countLines(t, backend.Path); taken != written {
		t.Errorf("%d of %d lines are delivered", taken, written)
	}
}

func countLines(t *testing.T, path string) int {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(content, []byte("\n"))
}

func TestARealBackendThatFailsAndComesBack(t *testing.T) {
	backend := sink.New(t, sink.Down)
	s := run(t, append(backend.Settings(), "aliyun_logs_app=LOGS/*.log", "aliyun_logs_none=LOGS/none/*", "aliyun_logs_bad=relative")...)
	stop := s.write(t, "app.log", 100, func(i int) string { return "line " + strconv.Itoa(i) })
	defer stop()
	b := open(t, s.url)
	b.await(`[...document.querySelectorAll('#rows td.bad')].some(e => e.textContent === 'failing')`)
	for _, state := range []string{"no match", "refused"} {
		b.await(`[...document.querySelectorAll('#rows td')].some(e => e.textContent === %s)`, state)
	}
	b.await(`document.querySelector('#outputs .bad').textContent.includes('refused')`)
	backend.Be(t, sink.Healthy)
	b.await(`document.querySelector('#outputs .good')`)
	b.await(`[...document.querySelectorAll('#rows td.good')].some(e => e.textContent === 'sending' || e.textContent === 'done')`)
}

// usage is what a process has used: CPU time, and memory as it is now, in bytes.
func (s *sidecar) usage(t *testing.T) (cpu time.Duration, memory int) {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const tick = 10 * time.Millisecond // sysconf(_SC_CLK_TCK) is 100 on Linux
	for _, f := range fields[11:13] {  // utime, stime
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		cpu += time.Duration(n) * tick
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return cpu, kib << 10
}

// One viewer of 200 containers costs less than 1 % of a core and 4 MiB.
func TestCostOfAViewer(t *testing.T) {
	environ := []string{"LOGGING_OUTPUT=null"}
	for i := range 200 {
		environ = append(environ, fmt.Sprintf("aliyun_logs_c%d=LOGS/c%d.log", i, i))
	}
	s := run(t, environ...)
	for i := range 200 {
		if err := os.WriteFile(filepath.Join(s.logs, fmt.Sprintf("c%d.log", i)), []byte("a line\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const long = 15 * time.Second
	<-time.After(5 * time.Second)
	from, idleMemory := s.usage(t)
	<-time.After(long)
	to, _ := s.usage(t)
	idle := to - from
	b := open(t, s.url)
	b.await(`document.querySelector('#count').textContent.startsWith('200 of')`)
	from, _ = s.usage(t)
	<-time.After(long)
	to, memory := s.usage(t)
	viewed := to - from
	if asked := js[int](b, `performance.getEntriesByType('resource').filter(e => e.name.endsWith('/api/overview')).length`); asked < 5 {
		t.Errorf("the viewer asked %d times", asked)
	}
	t.Logf("in %v: idle %v, %.1f MiB; with a viewer %v, %.1f MiB", long, idle, float64(idleMemory)/(1<<20), viewed, float64(memory)/(1<<20))
	if more := viewed - idle; more > long/100 {
		t.Errorf("a viewer costs %v in %v", more, long)
	}
	if more := memory - idleMemory; more > 4<<20 {
		t.Errorf("a viewer costs %d bytes", more)
	}
}
