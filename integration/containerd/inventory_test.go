// SPDX-License-Identifier: Apache-2.0

package containerd_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// backend takes records over HTTP, or refuses them while it is down.
type backend struct {
	*httptest.Server
	mu      sync.Mutex
	down    bool
	records []map[string]any
}

func newBackend(t *testing.T) *backend {
	b := &backend{}
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	return b
}

// ServeHTTP takes a batch.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		var record map[string]any
		if json.Unmarshal(lines.Bytes(), &record) == nil {
			b.records = append(b.records, record)
		}
	}
}

func (b *backend) set(down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = down
}

// of are the records of a container from a source, which is stdout or a file's path.
func (b *backend) of(container, source string) (found []map[string]any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.records {
		if r["docker_container"] == container && (r["source"] == source || source == "") {
			found = append(found, r)
		}
	}
	return found
}

// expect waits until a container's records have come from a source, and checks their number and tags.
func (b *backend) expect(t *testing.T, container, source string, lines int, tags map[string]string) {
	t.Helper()
	eventually(t, func() bool { return len(b.of(container, source)) >= lines }, 30*time.Second, "%s of %s: %d lines", source, container, lines)
	found := b.of(container, source)
	if len(found) != lines {
		t.Errorf("%s of %s: %d records, not %d", source, container, len(found), lines)
	}
	for _, r := range found {
		for key, want := range tags {
			if r[key] != want {
				t.Fatalf("%s of %s: %s is %v, not %s: %v", source, container, key, r[key], want, r)
			}
		}
	}
}

// image is what the machine's containers are started from.
const image = "docker.io/library/generator:1"

// importImage gives containerd an image of one layer that holds the generator and a directory for logs.
func (m *machine) importImage() {
	m.t.Helper()
	generator, err := os.ReadFile(filepath.Join(m.dir, "rootfs/generator"))
	need(m.t, err)
	layer := archive(m.t, map[string][]byte{"generator": generator, "logs/": nil, "proc/": nil, "dev/": nil, "sys/": nil, "run/": nil})
	config := fmt.Sprintf(`{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%x"]}}`, sha256.Sum256(layer))
	path := filepath.Join(m.dir, "image.tar")
	need(m.t, os.WriteFile(path, archive(m.t, map[string][]byte{"config.json": []byte(config), "layer.tar": layer,
		"manifest.json": []byte(`[{"Config":"config.json","RepoTags":["generator:1"],"Layers":["layer.tar"]}]`)}), 0o600))
	for _, namespace := range []string{m.namespace(), "moby"} {
		m.ctr("--namespace", namespace, "images", "import", path)
	}
}

// explains checks what explain says: nothing of a container of Docker's, and what to do about one whose output nobody captures.
func (m *machine) explains(settings []string, docker string) {
	m.t.Helper()
	m.ctr("run", "--detach", "--label", "aliyun.logs.out=stdout", image, "nolog", "/generator", "--hold")
	cmd := exec.Command(filepath.Join(m.dir, "remora-node"), "explain", "--all")
	cmd.Env = append(append(os.Environ(), settings...), "CONTAINERD_ADDRESS="+m.socket())
	out, err := cmd.CombinedOutput()
	need(m.t, err, "%s", out)
	if text := string(out); strings.Contains(text, docker) || !strings.Contains(text, "start it with --log-driver binary:///usr/local/bin/remora-logger") {
		m.t.Errorf("explain:\n%s", text)
	}
	m.ctr("tasks", "kill", "--signal", "SIGKILL", "nolog")
	m.remove("nolog")
}

func archive(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		h := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}
		if strings.HasSuffix(name, "/") {
			h.Typeflag = tar.TypeDir
		}
		need(t, w.WriteHeader(h))
		_, err := w.Write(content)
		need(t, err)
	}
	need(t, w.Close())
	return b.Bytes()
}

// Labels of a container declare its output and files in its own root file system. Both arrive with the same tags; and where the
// backend is down, the container is removed and the agent is started anew, what was captured still has them. What is Docker's
// is left to Docker.
func TestContainersWithLabels(t *testing.T) {
	m := newMachine(t)
	m.importImage()
	b := newBackend(t)
	settings := []string{"LOGGING_OUTPUT=http", "HTTP_URL=" + b.URL, "REMORA_RUNTIME=containerd", "REMORA_HOST_ROOT=/", "REMORA_POD_LOGS=/nowhere",
		"REMORA_LABEL_TAGS=team"}
	m.startAgent(settings...)
	labels := []string{"--label", "aliyun.logs.out=stdout", "--label", "aliyun.logs.app=/logs/*.log", "--label", "team=a",
		"--label", "com.docker.compose.project=shop", "--label", "aliyun.logs.out.tags=from=label"}
	start := func(namespace, id string, args ...string) {
		m.ctr(append(append([]string{"--namespace", namespace, "run", "--detach", "--log-uri", m.uri(), "--label", "nerdctl/name=" + id + "-name"}, labels...),
			append([]string{image, id, "/generator", "--name", id, "--file", "/logs/app.log", "--also", "--lines", "20"}, args...)...)...)
	}
	tags := map[string]string{"team": "a", "docker_app": "shop", "image": image}
	docker := "docker" + m.namespace()
	start("moby", docker)
	start(m.namespace(), "web", "--hold")
	b.expect(t, "web-name", "/logs/app.log", 20, tags)
	tags["from"] = "label"
	b.expect(t, "web-name", "stdout", 20, tags)
	need(t, os.WriteFile(filepath.Join(m.dir, "rootfs/half"), []byte("a line\nhalf a line"), 0o600))
	m.run("half", "--show", "/half")
	b.expect(t, "half", "stdout", 2, nil) // before its task is deleted

	b.set(true)
	start(m.namespace(), "short")
	eventually(t, func() bool {
		known, _ := filepath.Glob(filepath.Join(m.spool(), "*short*", "container.json"))
		return len(known) == 1
	}, 20*time.Second, "labels are not stored")
	m.remove("short")
	need(t, m.agent.Process.Kill())
	_ = m.agent.Wait()
	m.ctr("tasks", "kill", "--signal", "SIGTERM", "web")
	m.remove("web")
	m.startAgent(settings...)
	b.set(false)
	b.expect(t, "short-name", "stdout", 20, tags)
	m.remove("half")
	b.expect(t, "half", "stdout", 2, nil)
	for _, source := range []string{"stdout", "/logs/app.log"} {
		b.expect(t, "web-name", source, 20, nil) // nothing was sent again
	}
	m.explains(settings, docker)
	for _, name := range []string{docker, docker + "-name"} {
		if found := b.of(name, "/logs/app.log"); len(found) > 0 {
			t.Errorf("files of a container of Docker's are collected: %v", found[0])
		}
	}
	m.ctr("--namespace", "moby", "tasks", "delete", docker)
	m.ctr("--namespace", "moby", "containers", "delete", docker)
}
