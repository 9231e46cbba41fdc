// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/shared/telemetry"
)

// Twenty declarations are served as if they were alone, whatever the others beside them declare and write.
func TestSidecarServesInnocents(t *testing.T) {
	strangers := append(append(refused(), declaring()...), onDisk()...)
	b := newBackend(t, verdicts(strangers))
	logs := t.TempDir()
	p := newProcess(t, logs, append(strangers, plain(innocentNames()...)...), b.settings()...)

	w := writing{t: t}
	for _, s := range strangers {
		if s.lines > 0 {
			w.file(logs, s.name, s.lines, 0, s.size)
		}
	}
	prepare(t, logs)
	p.start(t)
	for _, name := range innocentNames() {
		w.file(logs, name, innocentLines, rate, 120)
	}
	w.work.Wait()
	settle(t, p, b)
	unharmed(t, b)
	complaints(t, func() telemetry.Snapshot { return p.snapshot(t) }, strangers)
	clean(t, p.snapshot(t))

	b.mend()
	arrive(t, b, strangers)
	if code := p.terminate(t); code != 0 && code != 3 {
		t.Errorf("the sidecar ended with %d", code)
	}
}

// onDisk are strangers whose files, not lines, are the harm. Their declarations name what prepare makes.
func onDisk() []stranger {
	return []stranger{
		{name: "braces", keys: map[string]string{"exclude": strings.Repeat("{a,aa}", 30)}, lines: 100, size: 60, says: []string{"exclude"}},
		{name: "bracepath", keys: map[string]string{"path": "/bracepath/" + strings.Repeat("{a,aa}", 30) + "*.log"}, says: []string{"path", "pattern", "braces", "{"}},
		{name: "loop", keys: map[string]string{"path": "/loop/*/*/*/*/*.log"}},
		{name: "deep", keys: map[string]string{"path": "/deep/**/*.log"}},
		{name: "cutgzip", keys: map[string]string{"path": "/cutgzip/*.gz"}},
		{name: "nofile", keys: map[string]string{"path": "/nofile/*"}},
		{name: "manyfiles", keys: map[string]string{"path": "/manyfiles/*.log"}},
		{name: "names", keys: map[string]string{"path": "/names/*"}},
	}
}

// prepare makes the files of the strangers on disk.
func prepare(t *testing.T, logs string) {
	t.Helper()
	dir := func(name string) string {
		d := filepath.Join(logs, name)
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		return d
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	loop := dir("loop")
	for i := range 300 {
		check(os.Symlink(".", filepath.Join(loop, fmt.Sprintf("link%d", i))))
	}
	check(os.WriteFile(filepath.Join(loop, "app.log"), []byte("loop 0 found\n"), 0o644))
	deep := dir("deep")
	for range 100 {
		deep = filepath.Join(deep, "d")
		check(os.Mkdir(deep, 0o755))
		check(os.WriteFile(filepath.Join(deep, "x.log"), []byte("a line\n"), 0o644))
	}
	check(os.Symlink("..", filepath.Join(deep, "up")))

	// A gzip that was copied in part, and one with padding behind it.
	var packed strings.Builder
	z := gzip.NewWriter(&packed)
	for i := range 50_000 {
		fmt.Fprintf(z, "cutgzip %d some text that does not repeat %x\n", i, i*2654435761)
	}
	check(z.Close())
	gz := dir("cutgzip")
	check(os.WriteFile(filepath.Join(gz, "cut.log.gz"), []byte(packed.String()[:packed.Len()*2/3]), 0o644))
	check(os.WriteFile(filepath.Join(gz, "padded.log.gz"), []byte("\x1f\x8b\x08\x00garbage"+strings.Repeat("\x00", 4096)), 0o644))

	bad := dir("nofile")
	for i := range 1500 {
		check(syscall.Mkfifo(filepath.Join(bad, fmt.Sprintf("fifo%d", i)), 0o644))
	}
	many := dir("manyfiles")
	for i := range 5000 {
		check(os.WriteFile(filepath.Join(many, fmt.Sprintf("%d.log", i)), []byte(fmt.Sprintf("manyfiles %d\n", i)), 0o644))
	}
	names := dir("names")
	for _, name := range []string{"a\x1b[31mred", "new\nROW sent 9 9 9", "bidi\u202eoverride", "c1\u009b31m", strings.Repeat("n", 255), "bytes\xff\xfe"} {
		check(os.WriteFile(filepath.Join(names, name), []byte("names 0\n"), 0o644))
	}
}

// process is a sidecar, confined, that serves them all.
type process struct {
	cmd    *exec.Cmd
	state  string
	env    []string
	ended  chan struct{}
	stderr string
}

// newProcess is a sidecar that is not started yet. Each declaration is of *.log in a directory of its name below logs.
func newProcess(t *testing.T, logs string, declared []stranger, settings ...string) *process {
	t.Helper()
	// A Unix socket's path has 107 bytes.
	state, err := os.MkdirTemp("", "remora-isolation-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(state) })
	p := &process{state: state, ended: make(chan struct{}), stderr: filepath.Join(t.TempDir(), "stderr")}
	p.env = append([]string{"REMORA_STATE_DIR=" + state}, settings...)
	annotations := filepath.Join(t.TempDir(), "annotations")
	p.env = append(p.env, "REMORA_ANNOTATIONS="+annotations)
	var lines strings.Builder
	for _, s := range declared {
		path := "/" + s.name + "/*.log"
		if own, ok := s.keys["path"]; ok {
			path = own
		}
		fmt.Fprintf(&lines, "aliyun.logs.%s=%q\n", s.name, logs+path)
		for key, value := range s.keys {
			if key != "path" {
				fmt.Fprintf(&lines, "aliyun.logs.%s.%s=%q\n", s.name, key, value)
			}
		}
	}
	if err := os.WriteFile(annotations, []byte(lines.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

// plain are declarations of nothing but a path.
func plain(names ...string) []stranger {
	var all []stranger
	for _, name := range names {
		all = append(all, stranger{name: name})
	}
	return all
}

func (p *process) start(t *testing.T) {
	t.Helper()
	stderr, err := os.Create(p.stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	p.cmd = exec.Command(filepath.Join(engine.Root(t), "bin", "remora-sidecar"))
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = p.env, stderr, stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	confine(t, p.cmd.Process.Pid)
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			said, _ := os.ReadFile(p.stderr)
			t.Logf("what the sidecar said last:\n%s", said[max(0, len(said)-6000):])
		}
	})
}

// alive fails the test if the process has ended.
func (p *process) alive(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
		t.Fatalf("the process has died: %v", p.cmd.ProcessState)
	default:
	}
}

func (p *process) terminate(t *testing.T) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(40 * time.Second):
		t.Fatal("SIGTERM has not ended the process within 40 s")
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) snapshot(t *testing.T) telemetry.Snapshot {
	t.Helper()
	p.alive(t)
	return ask(t, filepath.Join(p.state, "status.sock"))
}

// ask gets the status. It has to come soon, whatever the process is busy with.
func ask(t *testing.T, socket string) telemetry.Snapshot {
	t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: 5 * time.Second}
	answer, err := client.Get("http://remora/status")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var s telemetry.Snapshot
	if err := json.Unmarshal(body, &s); err != nil {
		t.Fatalf("/status: %v: %.200s", err, body)
	}
	return s
}

// settle waits until all of the innocents' lines have arrived; that is what is asserted afterwards, with details.
func settle(t *testing.T, p interface{ alive(*testing.T) }, b *backend) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		p.alive(t)
		missing := 0
		for _, name := range innocentNames() {
			n, _ := b.missing(name, innocentLines)
			missing += n
		}
		if missing == 0 {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func verdicts(strangers []stranger) map[string]verdict {
	all := map[string]verdict{}
	for _, s := range strangers {
		if s.verdict != nil {
			all[s.name] = *s.verdict
		}
	}
	return all
}

// complaints asserts that the status says of each stranger what is wrong with it, within the time that an operator looks.
func complaints(t *testing.T, snapshot func() telemetry.Snapshot, strangers []stranger) {
	t.Helper()
	for _, one := range strangers {
		if len(one.says) == 0 {
			continue
		}
		engine.Eventually(t, 10*time.Second, func() (bool, string) {
			said := about(snapshot(), one.name)
			found := slices.ContainsFunc(one.says, func(word string) bool { return strings.Contains(said, word) })
			return found, fmt.Sprintf("the status says nothing about %s of %q; it says: %.300q", one.name, one.says, said)
		})
	}
}

// about is all that the status says is wrong with a declaration; empty for nothing.
func about(s telemetry.Snapshot, name string) string {
	var said []string
	for _, l := range s.Logs {
		if l.Declaration != name {
			continue
		}
		if l.Error != "" {
			said = append(said, l.Error)
		}
		for _, b := range []*telemetry.Blocked{l.Waiting, l.Parked} {
			if b != nil {
				said = append(said, b.Destination+": "+b.Reason)
			}
		}
	}
	for _, p := range s.Problems {
		if strings.Contains(p.Container+" "+p.Key+" "+p.Message, name) {
			said = append(said, p.Key+": "+p.Message)
		}
	}
	return strings.Join(said, "\n")
}

// clean asserts that no innocent's row shows an error, for none is theirs.
func clean(t *testing.T, s telemetry.Snapshot) {
	t.Helper()
	for _, l := range s.Logs {
		if said := about(s, l.Declaration); strings.HasPrefix(l.Declaration, "innocent") && said != "" {
			t.Errorf("%s shows an error that is not its own: %s", l.Declaration, said)
		}
	}
}

// arrive waits for the lines of the strangers that are owed all of theirs.
func arrive(t *testing.T, b *backend, strangers []stranger) {
	t.Helper()
	for _, s := range strangers {
		if !s.arrives {
			continue
		}
		engine.Eventually(t, 90*time.Second, func() (bool, string) {
			missing, holes := b.missing(s.name, s.lines)
			return missing == 0, fmt.Sprintf("%d of %d lines of %s are missing: %s", missing, s.lines, s.name, holes)
		})
	}
}
