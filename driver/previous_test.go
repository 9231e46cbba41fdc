// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/driver/plugin"
)

// previousState is what the driver of the previous release left in its state directory; hack/previous-state writes it.
//
//	web    100 lines, of which 50 are acknowledged; runs
//	ended  10 lines, none acknowledged; has ended
//	noisy  lost lines while the backend was down: its spool was full
const previousState = "testdata/previous-state.tar.gz"

// limit is the spool of a container in that state.
const limit = "REMORA_SPOOL_MAX_BYTES_PER_CONTAINER=1048576"

// intake is a backend that takes as many records as it is allowed to, and remembers them.
type intake struct {
	mu      sync.Mutex
	allowed int
	records []map[string]any
	server  *httptest.Server
}

func newIntake(t *testing.T, allowed int) *intake {
	b := &intake{allowed: allowed}
	b.server = httptest.NewServer(b)
	t.Cleanup(b.server.Close)
	return b
}

func (b *intake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var got []map[string]any
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var one map[string]any
		if json.Unmarshal(lines.Bytes(), &one) == nil {
			got = append(got, one)
		}
	}
	if len(b.records)+len(got) > b.allowed {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	b.records = append(b.records, got...)
}

// of returns the lines of a container, without Remora's own records.
func (b *intake) of(container string) (lines []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.records {
		if text, ok := r["message"].(string); ok && r["docker_container"] == container && r["remora"] == nil {
			lines = append(lines, text)
		}
	}
	return lines
}

// gaps returns Remora's own records of a container.
func (b *intake) gaps(container string) (gaps []map[string]any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.records {
		if r["docker_container"] == container && r["remora"] != nil {
			gaps = append(gaps, r)
		}
	}
	return gaps
}

// numbered are the lines that a container wrote.
func numbered(name string, from, to int) (lines []string) {
	for i := from; i < to; i++ {
		lines = append(lines, fmt.Sprintf("%s line %d", name, i))
	}
	return lines
}

func containerInfo(name string, id string) plugin.Info {
	return plugin.Info{ContainerID: strings.Repeat(id, 32), ContainerName: "/" + name, ContainerLabels: map[string]string{
		"aliyun.logs.app": "stdout", "aliyun.logs.app.tags": "team=" + name}}
}

func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o700))
	out, err := exec.Command("tar", "-xzf", archive, "-C", dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func (b *intake) eventually(t *testing.T, container string, want []string) {
	t.Helper()
	require.Eventually(t, func() bool { return len(b.of(container)) >= len(want) }, time.Minute, 10*time.Millisecond, "%s: %d of %d", container,
		len(b.of(container)), len(want))
	require.Equal(t, want, b.of(container))
}

// What the previous release has stored is delivered: what was acknowledged not again, the rest whole, losses told.
func TestStateOfThePreviousRelease(t *testing.T) {
	b := newIntake(t, 1<<20)
	e := newIdleEngine(t, "LOGGING_OUTPUT=http", "HTTP_URL="+b.server.URL, limit)
	unpack(t, previousState, filepath.Join(e.dir, "state"))
	e.start()
	b.eventually(t, "web", numbered("web", 50, 100))
	b.eventually(t, "ended", numbered("ended", 0, 10))
	require.Eventually(t, func() bool { return slices.Contains(b.of("noisy"), "the last") }, time.Minute, 10*time.Millisecond)
	require.NotEmpty(t, b.gaps("noisy"), "what was lost is told")
	for _, r := range b.records {
		require.Equal(t, r["docker_container"], r["team"], "a declaration is understood")
	}
	// A container that is started now is one like all others.
	c := e.run(containerInfo("new", "d1"))
	c.write("new line 0")
	b.eventually(t, "new", numbered("new", 0, 1))
	require.Empty(t, badFiles(t, e.dir), "nothing was put aside")
}

// badFiles are files that were put aside.
func badFiles(t *testing.T, dir string) (found []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".bad") {
			found = append(found, path)
		}
		return err
	}))
	return found
}

// A stream of a format that is not known is neither misread nor destroyed.
func TestAStreamOfANewerFormatIsKept(t *testing.T) {
	b := newIntake(t, 1<<20)
	e := newIdleEngine(t, "LOGGING_OUTPUT=http", "HTTP_URL="+b.server.URL, limit)
	unpack(t, previousState, filepath.Join(e.dir, "state"))
	found, err := filepath.Glob(filepath.Join(e.dir, "state", "streams", strings.Repeat("b1", 6)+"-*"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	manifests, err := filepath.Glob(filepath.Join(found[0], "*.json"))
	require.NoError(t, err)
	require.Len(t, manifests, 1)
	text, err := os.ReadFile(manifests[0])
	require.NoError(t, err)
	newer := []byte(strings.Replace(string(text), "{", `{"format":99,`, 1))
	require.NoError(t, os.WriteFile(manifests[0], newer, 0o600))
	e.start()
	b.eventually(t, "web", numbered("web", 50, 100))
	e.terminate()
	require.Contains(t, e.stderr.String(), "code=REM5017")
	require.Contains(t, e.stderr.String(), "format 99; this one knows 1")
	require.Empty(t, b.of("ended"))

	require.NoError(t, os.WriteFile(manifests[0], text, 0o600)) // the newer one runs again
	e.start()
	b.eventually(t, "ended", numbered("ended", 0, 10))
}
