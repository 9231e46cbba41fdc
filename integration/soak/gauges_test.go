// SPDX-License-Identifier: Apache-2.0

//go:build soak

package soak

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/remora-logs/remora/integration/engine"
)

// process is one that is measured.
type process struct {
	name   string
	pid    int
	socket string
	state  []string // directories
}

// gauges is what a process has, by what it is.
type gauges map[string]int64

// slack is by how much a gauge may be higher in the end: what is counted exactly by a few, for a file that happens to be open;
// memory by a share too, in percent.
var slack = map[string]struct{ few, percent int64 }{
	"descriptors": {4, 0},
	"goroutines":  {6, 0},
	"live heap":   {6 << 20, 0},
	"RSS":         {16 << 20, 20}, // Go gives memory back in its own time
	"files":       {4, 0},
	"directories": {2, 0},
	"checkpoints": {4, 0},
}

// settle measures all processes, once they have let go of what the last containers had. With before it waits until nothing is
// higher than it was then, and fails if that does not come.
func (w *ways) settle(t *testing.T, before map[string]gauges) map[string]gauges {
	t.Helper()
	now := make(map[string]gauges)
	if before == nil {
		time.Sleep(settled / 2)
		for _, p := range w.processes {
			now[p.name] = p.measure(t)
			t.Logf("%-8s at first  %v", p.name, now[p.name])
		}
		return now
	}
	began := time.Now()
	for _, p := range w.processes {
		var above []string
		for {
			now[p.name] = p.measure(t)
			if above = now[p.name].above(before[p.name]); len(above) == 0 || time.Since(began) > settled {
				break
			}
			time.Sleep(2 * time.Second)
		}
		t.Logf("%-8s at last   %v", p.name, now[p.name])
		if len(above) > 0 {
			t.Errorf("%s has grown: %s", p.name, strings.Join(above, "; "))
		}
	}
	return now
}

// above names what is higher than before.
func (g gauges) above(before gauges) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(slack)) {
		s := slack[name]
		if g[name] > before[name]+before[name]*s.percent/100+s.few {
			names = append(names, fmt.Sprintf("%s from %d to %d", name, before[name], g[name]))
		}
	}
	return names
}

func (p *process) measure(t *testing.T) gauges {
	t.Helper()
	p.profile(t)
	metrics := p.get(t, "/metrics")
	g := gauges{
		"goroutines":  value(t, metrics, "go_goroutines"),
		"live heap":   value(t, metrics, "go_memstats_heap_alloc_bytes"),
		"descriptors": value(t, metrics, "process_open_fds"),
		"RSS":         value(t, metrics, "process_resident_memory_bytes"),
	}
	for _, dir := range p.state {
		g.count(t, dir)
	}
	g["checkpoints"] = checkpoints(t, filepath.Join(p.state[0], "checkpoints.db"))
	return g
}

// profile has the process collect its garbage, so that what is left is live. SOAK_PROFILES names a directory for profiles of
// that.
func (p *process) profile(t *testing.T) {
	t.Helper()
	profile := p.get(t, "/debug/pprof/heap?gc=1")
	if dir := os.Getenv("SOAK_PROFILES"); dir != "" {
		write(t, filepath.Join(dir, fmt.Sprintf("%s-%d.heap", p.name, time.Now().Unix())), profile)
	}
}

// get asks the process over its socket.
func (p *process) get(t *testing.T, path string) string {
	t.Helper()
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", p.socket)
		},
	}}
	var answer *http.Response
	engine.Eventually(t, 20*time.Second, func() (bool, string) {
		var err error
		answer, err = client.Get("http://localhost" + path)
		return err == nil, fmt.Sprint(p.name, ": ", err)
	})
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s, %v: %.200s", p.name, path, answer.Status, err, body)
	}
	return string(body)
}

// value is that of a metric without labels.
func value(t *testing.T, metrics, name string) int64 {
	t.Helper()
	for lines := bufio.NewScanner(strings.NewReader(metrics)); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, err := strconv.ParseFloat(rest, 64)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return int64(v)
		}
	}
	t.Fatalf("%s is not among the metrics", name)
	return 0
}

func (g gauges) count(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		switch {
		case os.IsNotExist(err): // removed meanwhile
			return nil
		case err != nil:
			return err
		case entry.IsDir():
			g["directories"]++
		default:
			g["files"]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkpoints counts what is in a store. The store itself is locked, so a copy is read.
func checkpoints(t *testing.T, path string) (n int64) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(copied, content, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(copied, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			n += int64(b.Stats().KeyN)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
