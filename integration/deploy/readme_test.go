// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/remora-logs/remora/integration/engine"
)

// What the README shows is right as well: its Pod is one, and its daemon.json is the one in deploy/.
func TestREADMEShowsWhatWorks(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(engine.Root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```(yaml|json)\n(.*?)```").FindAllSubmatch(readme, -1)
	seen := make(map[string]int)
	for _, block := range blocks {
		seen[string(block[1])]++
		switch kind, text := string(block[1]), block[2]; {
		case kind == "yaml":
			var pod core.Pod
			if err := yaml.UnmarshalStrict(text, &pod); err != nil {
				t.Errorf("the README's Pod: %v", err)
			}
		case strings.Contains(string(text), "log-driver"):
			daemon, err := os.ReadFile(file(t, "docker", "daemon.json"))
			if err != nil {
				t.Fatal(err)
			}
			if string(daemon) != string(text) {
				t.Errorf("the README's daemon.json is not that of deploy/docker: %s", text)
			}
		case !json.Valid(text):
			t.Errorf("the README shows as JSON what is none: %s", text)
		}
	}
	if seen["yaml"] != 1 || seen["json"] != 2 {
		t.Errorf("the README's examples are %v; has this test lost sight of some?", seen)
	}
}

// Remora itself finds nothing wrong with what the files declare.
func TestDeclarationsAreUnderstood(t *testing.T) {
	for path, c := range map[string]struct {
		binary string
		names  []string
	}{
		"kubernetes/pod.yaml": {"remora-sidecar", []string{"access"}},
		"kubernetes/job.yaml": {"remora-sidecar", []string{"report"}},
		"compose/compose.yml": {"remora-driver", []string{"web", "worker"}},
		"swarm/stack.yml":     {"remora-driver", []string{"web"}},
	} {
		t.Run(path, func(t *testing.T) {
			binary := filepath.Join(engine.Root(t), "bin", c.binary)
			out, err := exec.Command(binary, "explain", "--file", file(t, path)).CombinedOutput()
			if err != nil {
				t.Fatalf("explain: %v: %s", err, out)
			}
			for _, name := range c.names {
				if !strings.Contains(string(out), name) {
					t.Errorf("it does not tell of %s: %s", name, out)
				}
			}
		})
	}
}
