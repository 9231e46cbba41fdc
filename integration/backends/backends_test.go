// SPDX-License-Identifier: Apache-2.0

// Package backends delivers what the sidecar reads from files to real backends, each a process of its own, and reads it
// back from them to compare it, field by field, with what was written. What the backends are built from lies below, a
// module each, so that none of it is a dependency of Remora's.
package backends

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

// lines is how many lines each of the two files holds.
const lines = 3000

// build makes a backend of one of the modules below, once, and returns its path.
func build(t *testing.T, module, pkg string) string {
	t.Helper()
	root := engine.Root(t)
	binary := filepath.Join(root, "bin", "backends", module)
	cmd := exec.Command("go", "build", "-o", binary, pkg)
	cmd.Dir = filepath.Join(root, "integration", "backends", module)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", module, err, out)
	}
	return binary
}

// run starts a backend and waits until ready says that it is; it is killed when the test ends.
func run(t *testing.T, ready func() bool, binary string, args ...string) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	engine.Start(t, cmd)
	engine.Eventually(t, 2*time.Minute, func() (bool, string) { return ready(), filepath.Base(binary) + " is not ready" })
}

// answers reports whether url gives 200.
func answers(url string) func() bool {
	return func() bool {
		r, err := http.Get(url)
		if err != nil {
			return false
		}
		defer r.Body.Close()
		return r.StatusCode == http.StatusOK
	}
}

// files are two logs as applications write them.
type files struct{ dir string }

func (f files) raw() string  { return filepath.Join(f.dir, "raw.log") }
func (f files) json() string { return filepath.Join(f.dir, "json.log") }

// rawLine is line n of the first: quotes, backslashes, tabs, what is not ASCII, and very different lengths.
func rawLine(n int) string {
	return fmt.Sprintf("line %d \"quoted\" \\back\\ \ttab ünï 日本 <&> %s.", n, strings.Repeat("x", n%700))
}

// jsonLine is line n of the second.
func jsonLine(n int) string {
	return fmt.Sprintf(`{"n":%d,"status":%d,"ok":%t,"ratio":%d.5,"text":"a \"b\" ü","nested":{"a":[1,2]}}`, n, 200+n%300, n%2 == 0, n)
}

func write(t *testing.T) files {
	t.Helper()
	f := files{dir: t.TempDir()}
	for path, line := range map[string]func(int) string{f.raw(): rawLine, f.json(): jsonLine} {
		var text strings.Builder
		for n := range lines {
			text.WriteString(line(n) + "\n")
		}
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// sidecar delivers the files to the output that settings choose. It is killed when the test ends.
func sidecar(t *testing.T, f files, settings ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(filepath.Join(engine.Root(t), "bin", "remora-sidecar"))
	cmd.Env = append([]string{
		"aliyun_logs_raw=" + f.raw(), "aliyun_logs_raw_tags=team=blue,kind=raw",
		"aliyun_logs_parsed=" + f.json(), "aliyun_logs_parsed_format=json", "aliyun_logs_parsed_tags=team=red,kind=parsed",
		"REMORA_STATE_DIR=" + t.TempDir(),
	}, settings...)
	said := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("what the sidecar said:\n%.4000s", said)
		}
	})
	return cmd
}

// document is a record as read back: every value as text.
type document map[string]string

// offsets are where the lines of a file begin.
func offsets(line func(int) string) []int {
	all, at := make([]int, lines), 0
	for n := range lines {
		all[n] = at
		at += len(line(n)) + 1
	}
	return all
}

// expected is what a record of line n has to say, by the names that a backend gives to it.
type expected func(n int) document

// compare looks for each line once among docs, and for all it has to say.
func compare(t *testing.T, docs []document, number func(document) int, want expected) {
	t.Helper()
	if len(docs) != lines {
		t.Fatalf("%d records, want %d", len(docs), lines)
	}
	seen := make([]bool, lines)
	for _, d := range docs {
		n := number(d)
		if n < 0 || n >= lines || seen[n] {
			t.Fatalf("line %d is not one of ours, or there twice: %v", n, d)
		}
		seen[n] = true
		for key, value := range want(n) {
			if d[key] != value {
				t.Fatalf("line %d: %s is %q, want %q\n%v", n, key, d[key], value, d)
			}
		}
	}
}

// rawNumber and jsonNumber are which line a record is of.
func rawNumber(message string) func(document) int {
	return func(d document) int {
		var n int
		if _, err := fmt.Sscanf(d[message], "line %d ", &n); err != nil {
			return -1
		}
		return n
	}
}

func jsonNumber(d document) int {
	n, err := strconv.Atoi(d["n"])
	if err != nil {
		return -1
	}
	return n
}

// get reads address, of which 200 is expected.
func get(t *testing.T, address string, query url.Values) []byte {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, address+"?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, request)
}

func do(t *testing.T, request *http.Request) []byte {
	t.Helper()
	r, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v %.500s", request.URL, r.Status, err, body)
	}
	return body
}

// documents reads JSON lines.
func documents(t *testing.T, body []byte) []document {
	t.Helper()
	var all []document
	for line := range bytes.Lines(body) {
		var values map[string]any
		if err := json.Unmarshal(line, &values); err != nil {
			t.Fatalf("%v: %.300s", err, line)
		}
		d := make(document, len(values))
		for k, v := range values {
			text, ok := v.(string)
			if !ok {
				raw, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				text = string(raw)
			}
			d[k] = text
		}
		all = append(all, d)
	}
	return all
}

// tenant is get on behalf of Loki's tenant.
func tenant(t *testing.T, address string, query url.Values) []byte {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, address+"?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Scope-OrgID", "someone")
	return do(t, request)
}
