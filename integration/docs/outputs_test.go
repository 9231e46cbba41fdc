// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// The examples of outputs that speak HTTP deliver: each is run with a server of the test's in place of its host, and posts
// to the path that the protocol has.
func TestExamplesOfOutputsDeliver(t *testing.T) {
	for name, want := range map[string]struct{ path, answer string }{
		"elasticsearch": {"/_bulk", `{"errors":false}`},
		"loki":          {"/loki/api/v1/push", ""},
		"otlp":          {"/v1/logs", ""},
		"http":          {"/ingest", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			paths := map[string]bool{}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				mu.Lock()
				paths[r.Method+" "+r.URL.Path] = true
				mu.Unlock()
				if r.Method == http.MethodGet { // what server is it?
					fmt.Fprint(w, `{"version":{"number":"8.15.0"}}`)
					return
				}
				fmt.Fprint(w, want.answer)
			}))
			defer server.Close()
			collectOne(t, exampleOf(t, name, server.URL))
			mu.Lock()
			defer mu.Unlock()
			for path := range paths {
				if strings.HasPrefix(path, "POST ") && strings.HasSuffix(path, want.path) {
					return
				}
			}
			t.Errorf("nothing was posted to %s, but %v", want.path, paths)
		})
	}
}

func TestExampleOfFileDelivers(t *testing.T) {
	environ := exampleOf(t, "file", "")
	var dir string
	for i, line := range environ {
		if strings.HasPrefix(line, "FILE_PATH=") {
			dir = t.TempDir()
			environ[i] = "FILE_PATH=" + dir
		}
	}
	collectOne(t, append(environ, "POD_NAMESPACE=shop"))
	if content, err := os.ReadFile(filepath.Join(dir, "shop", "app.log")); err != nil || !strings.Contains(string(content), "a line") {
		t.Errorf("the file holds %q: %v", content, err)
	}
}

// exampleOf is the first example of an output's page, with url in place of each host.
func exampleOf(t *testing.T, name, url string) []string {
	t.Helper()
	var environ []string
	for line := range strings.Lines(read(t, "docs/outputs/"+name+".md").blocks[0].text) {
		line = regexp.MustCompile(`https?://[^/,\s]+`).ReplaceAllString(strings.TrimSpace(line), url)
		environ = append(environ, line)
	}
	return environ
}

// collectOne runs a sidecar that collects one line.
func collectOne(t *testing.T, environ []string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "app.log")
	if err := os.WriteFile(path, []byte("a line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	runSidecar(t, append(environ, "aliyun_logs_app="+path, "REMORA_STATE_DIR="+filepath.Join(dir, "state")))
}
