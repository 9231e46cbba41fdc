// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/declare"
	delivery "github.com/remora-logs/remora/shared/deliver"
)

// What the pages show is right as well: a Pod is one, the daemon.json is the one in deploy/, JSON is JSON.
func TestPagesShowWhatWorks(t *testing.T) {
	seen := make(map[string]int)
	for _, path := range markdown(t) {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)\n```(yaml|json)\n(.*?)```").FindAllSubmatch(page, -1) {
			kind, err := shown(t, string(block[1]), block[2])
			if err != nil {
				t.Errorf("%s: %v: %s", path, err, block[2])
			}
			seen[kind]++
		}
	}
	if seen["Pod"] < 1 || seen["daemon.json"] != 1 || seen["JSON"] < 2 || seen["declarations"] < 2 {
		t.Errorf("the pages' examples are %v; has this test lost sight of some?", seen)
	}
}

// markdown lists README.md, its translation, and all pages below docs/.
func markdown(t *testing.T) []string {
	t.Helper()
	root := engine.Root(t)
	paths := []string{filepath.Join(root, "README.md"), filepath.Join(root, "README.zh-CN.md")}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// shown says what an example is, and checks it as strictly as what it is for does.
func shown(t *testing.T, language string, text []byte) (kind string, err error) {
	t.Helper()
	if language == "json" {
		if bytes.Contains(text, []byte("log-driver")) {
			daemon, err := os.ReadFile(file(t, "docker", "daemon.json"))
			if err == nil && !bytes.Equal(daemon, text) {
				err = errors.New("this is not the daemon.json of deploy/docker")
			}
			return "daemon.json", err
		}
		for decoder := json.NewDecoder(bytes.NewReader(text)); ; {
			var object map[string]any
			if err := decoder.Decode(&object); err == io.EOF {
				return "JSON", nil
			} else if err != nil {
				return "JSON", err
			}
		}
	}
	var top map[string]any
	if err := yaml.UnmarshalStrict(text, &top); err != nil {
		return "YAML", err
	}
	switch {
	case top["kind"] != nil && top["kind"] != "Pod":
		return "manifest", nil
	case top["spec"] != nil:
		return "Pod", yaml.UnmarshalStrict(text, new(core.Pod))
	case top["containers"] != nil || top["initContainers"] != nil:
		return "PodSpec", yaml.UnmarshalStrict(text, new(core.PodSpec))
	case top["env"] != nil:
		return "Container", yaml.UnmarshalStrict(text, new(core.Container))
	case top["services"] != nil:
		path := filepath.Join(t.TempDir(), "compose.yml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return "Compose", err
		}
		project(t, path)
		return "Compose", nil
	case top["settings"] != nil:
		path := filepath.Join(t.TempDir(), "remora.yml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return "settings", err
		}
		return "settings", config.ReadFile(path).Check(delivery.AllSections())
	case top["logs"] != nil || top["collect"] != nil || top["outputs"] != nil:
		set := declare.New("").Read(declare.Input{File: declare.ReadFile("page", text)})
		if len(set.Errors) > 0 {
			return "declarations", fmt.Errorf("%v", set.Errors)
		}
		return "declarations", nil
	}
	return "YAML", errors.New("this test does not know what that is an example of")
}

// Remora itself finds nothing wrong with what the files declare.
func TestDeclarationsAreUnderstood(t *testing.T) {
	for path, c := range map[string]struct {
		binary string
		names  []string
	}{
		"deploy/kubernetes/pod.yaml":          {"remora-sidecar", []string{"access"}},
		"deploy/kubernetes/job.yaml":          {"remora-sidecar", []string{"report"}},
		"deploy/compose/compose.yml":          {"remora-driver", []string{"web", "worker"}},
		"deploy/swarm/stack.yml":              {"remora-driver", []string{"web"}},
		"examples/kubernetes/deployment.yaml": {"remora-sidecar", []string{"access", "errors"}},
		"examples/kubernetes/job.yaml":        {"remora-sidecar", []string{"report"}},
		"examples/kubernetes/tomcat.yaml":     {"remora-node", []string{"catalina", "access"}},
		"examples/compose/compose.yml":        {"remora-driver", []string{"web", "jobs"}},
		"examples/swarm/stack.yml":            {"remora-driver", []string{"shop-web"}},
	} {
		t.Run(path, func(t *testing.T) {
			binary := filepath.Join(engine.Root(t), "bin", c.binary)
			out, err := exec.Command(binary, "explain", "--file", filepath.Join(engine.Root(t), path)).CombinedOutput()
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
