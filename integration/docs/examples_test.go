// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

var update = flag.Bool("update", false, "write the records that come out into docs/formats.md")

// left are the members that the page's records leave out: they differ from run to run, or say the same each time.
var left = []string{"source", "offset", "host", "stream"}

// example is what the page shows of a format or filter: variables, the lines of the file, and the records that come out.
type example struct {
	heading              string
	declared, lines, out block
}

// The examples of formats and filters are run: a sidecar collects their lines as their variables declare it.
func TestFormatsComeOutAsShown(t *testing.T) {
	const path = "docs/formats.md"
	examples := examplesOf(t, read(t, path))
	if len(examples) < 15 {
		t.Fatalf("%s has %d examples; has this test lost sight of some?", path, len(examples))
	}
	got := collect(t, examples)
	for i, e := range examples {
		if *update {
			replace(t, path, e.out.text, strings.Join(got[i], "\n")+"\n")
			continue
		}
		want := strings.Split(strings.TrimSpace(e.out.text), "\n")
		if len(got[i]) != len(want) {
			t.Errorf("%s:%d (%s): %d records came out: %s", path, e.out.line, e.heading, len(got[i]), strings.Join(got[i], "\n"))
			continue
		}
		for k := range want {
			if !reflect.DeepEqual(members(t, got[i][k]), members(t, want[k])) {
				t.Errorf("%s:%d (%s): this came out:\n%s\nand the page shows:\n%s", path, e.out.line, e.heading, got[i][k], want[k])
			}
		}
	}
}

// examplesOf finds each block of variables that is followed by lines and records.
func examplesOf(t *testing.T, p *page) []example {
	t.Helper()
	var all []example
	for i := 0; i+2 < len(p.blocks); i++ {
		if a, b, c := p.blocks[i], p.blocks[i+1], p.blocks[i+2]; a.kind == "sh" && b.kind == "text" && c.kind == "json" {
			all = append(all, example{a.heading, a, b, c})
			i += 2
		}
	}
	return all
}

// collect runs a sidecar over the lines of all examples, each in a file of its own under a declaration of its own, and
// returns the records of each, without what is left out.
func collect(t *testing.T, examples []example) [][]string {
	t.Helper()
	dir := t.TempDir()
	environ := []string{"LOGGING_OUTPUT=console", "REMORA_STATE_DIR=" + filepath.Join(dir, "state")}
	number := map[string]int{}
	for i, e := range examples {
		path := filepath.Join(dir, fmt.Sprintf("%d.log", i))
		number[path] = i
		if err := os.WriteFile(path, []byte(e.lines.text), 0o600); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(e.declared.text) {
			name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
			if !ok {
				t.Fatalf("%s: %q is no variable", e.heading, line)
			}
			if strings.HasPrefix(value, "/logs/") {
				value = path
			}
			name = strings.Replace(name, "aliyun_logs_", fmt.Sprintf("aliyun_logs_e%d", i), 1)
			environ = append(environ, name+"="+strings.Trim(value, "'"))
		}
	}
	records := make([][]string, len(examples))
	for line := range strings.Lines(runSidecar(t, environ)) {
		var r map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		var source string
		if err := json.Unmarshal(r["source"], &source); err != nil {
			t.Fatalf("no source: %s", line)
		}
		i, ok := number[source]
		if !ok {
			t.Fatalf("a record of no example: %s", line)
		}
		records[i] = append(records[i], without(t, strings.TrimSpace(line), examples[i]))
	}
	return records
}

// runSidecar runs a sidecar until it has read all, and returns its standard output.
func runSidecar(t *testing.T, environ []string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(engine.Root(t), "bin", "remora-sidecar"))
	cmd.Env = environ
	var out, log bytes.Buffer
	cmd.Stdout = &out
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	running := make([]byte, 4096)
	for !strings.Contains(log.String(), "remora-sidecar is running") {
		n, err := stderr.Read(running)
		log.Write(running[:n])
		if err != nil {
			break
		}
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // it reads all to the end, and ends
	_, _ = log.ReadFrom(stderr)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the sidecar: %v\n%s", err, log.String())
	}
	if strings.Contains(log.String(), "level=ERROR") || strings.Contains(log.String(), "level=WARN") {
		t.Errorf("the sidecar complains:\n%s", log.String())
	}
	return out.String()
}

// without cuts out what the page leaves out, and the time if it is not in the line, or is there without its year, which
// would be another one in the next year.
func without(t *testing.T, line string, e example) string {
	t.Helper()
	r := members(t, line)
	for _, name := range left {
		line = cut(t, line, name, r)
	}
	at, err := time.Parse(time.RFC3339Nano, r["@timestamp"].(string))
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	yearless := !strings.Contains(e.lines.text, at.Format("2006")) &&
		(strings.Contains(e.declared.text, "format=klog") || strings.Contains(e.declared.text, "format=syslog"))
	if time.Since(at).Abs() < time.Minute || yearless {
		line = cut(t, line, "@timestamp", r)
	}
	return line
}

// cut removes a member from the text of a JSON object, so that the others keep their order.
func cut(t *testing.T, line, name string, r map[string]any) string {
	t.Helper()
	value, ok := r[name]
	if !ok {
		return line
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	member := fmt.Sprintf("%q:%s", name, text)
	for _, with := range []string{member + ",", "," + member, member} {
		if strings.Contains(line, with) {
			return strings.Replace(line, with, "", 1)
		}
	}
	t.Fatalf("%s has no %s", line, member)
	return ""
}

func members(t *testing.T, line string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return m
}

func replace(t *testing.T, path, old, text string) {
	t.Helper()
	path = filepath.Join(engine.Root(t), path)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(content, []byte("```json\n"+old), []byte("```json\n"+text), 1), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Each format and each filter has an example.
func TestEveryFormatAndFilterHasAnExample(t *testing.T) {
	headings := map[string]bool{}
	for _, e := range examplesOf(t, read(t, "docs/formats.md")) {
		for _, name := range strings.Split(e.heading, ", ") {
			headings[name] = true
		}
	}
	rows := 0
	for line := range strings.Lines(read(t, "docs/declarations.md").text) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		names := inlineCode.FindAllString(cells[1], -1)
		if strings.TrimSpace(cells[1]) == "`format`" {
			names = inlineCode.FindAllString(cells[2], -1)
		} else if !strings.Contains(" `keep`, `drop` | `mask` | `add`, `remove`, `rename` | `sample` | `rate_limit` ", cells[1]) {
			continue
		}
		rows++
		for _, name := range names {
			if name = strings.Trim(name, "`"); !headings[name] {
				t.Errorf("docs/formats.md has no example of %s", name)
			}
		}
	}
	if rows != 6 {
		t.Errorf("%d rows of docs/declarations.md name formats and filters, not 6", rows)
	}
}
