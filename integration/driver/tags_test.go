// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/verify"
)

// written waits for the record with this line in the target's file, and returns all its members.
func written(t *testing.T, p *engine.Plugin, target, line string) map[string]any {
	t.Helper()
	r := follow(p, target).AwaitOther(t, 30*time.Second, func(r *verify.Record) bool { return r.Line() == line })
	return r.Members(t)
}

// expect compares members; the wanted value nil means that the member must not be there.
func expect(t *testing.T, members map[string]any, want map[string]any) {
	t.Helper()
	for key, value := range want {
		got, there := members[key]
		if value == nil && there || value != nil && got != value {
			t.Errorf("%s is %v, want %v, in %v", key, got, value, members)
		}
	}
}

func TestTagsOfEachOrchestrator(t *testing.T) {
	e := engine.New(t)
	p := e.NewPlugin(t)
	host, _ := os.Hostname()
	for name, c := range map[string]struct {
		labels []string
		want   map[string]any
	}{
		"plain": {
			want: map[string]any{"docker_app": nil, "docker_service": nil, "k8s_pod": nil, "swarm_service": nil},
		},
		"compose": {
			labels: []string{"com.docker.compose.project=shop", "com.docker.compose.service=cart"},
			want:   map[string]any{"docker_app": "shop", "docker_service": "cart", "k8s_pod": nil},
		},
		"cri-dockerd": {
			labels: []string{"io.kubernetes.pod.name=web-0", "io.kubernetes.pod.namespace=prod",
				"io.kubernetes.pod.uid=7c9e6679-7425-40de-944b-e07fc1f90ae7", "io.kubernetes.container.name=nginx"},
			want: map[string]any{"k8s_pod": "web-0", "k8s_pod_namespace": "prod", "k8s_container_name": "nginx",
				"k8s_pod_uid": "7c9e6679-7425-40de-944b-e07fc1f90ae7", "docker_app": nil},
		},
	} {
		t.Run(name, func(t *testing.T) {
			options := []string{"--label", "aliyun.logs.tags-" + name + "=stdout"}
			for _, l := range c.labels {
				options = append(options, "--label", l)
			}
			container := e.Run(t, p.Name, options, "-text", "hello\n")
			record := written(t, p, "tags-"+name, "hello")
			expect(t, record, c.want)
			expect(t, record, map[string]any{"docker_container": container.Name(t), "container_id": container.ID,
				"image": engine.Image, "host": host, "stream": "stdout", "source": "stdout"})
			stamp, _ := record["@timestamp"].(string)
			if at, err := time.Parse(time.RFC3339Nano, stamp); err != nil || time.Since(at).Abs() > time.Minute ||
				!strings.HasSuffix(stamp, "Z") || len(stamp) != len("2006-01-02T15:04:05.000000000Z") {
				t.Errorf("@timestamp is %q", stamp)
			}
		})
	}
}

func TestTagsOfARealSwarmService(t *testing.T) {
	e := engine.New(t)
	p := e.NewPlugin(t)
	swarm(t, e)
	e.Generator(t)
	e.Docker(t, "service", "create", "--detach", "--name", "shop_cart", "--network", "host", "--restart-condition", "none",
		"--container-label", "com.docker.stack.namespace=shop", "--container-label", "aliyun.logs.swarm=stdout",
		"--log-driver", p.Name, "--no-resolve-image", engine.Image, "-text", `from the swarm\n`)
	t.Cleanup(func() { e.Docker(t, "service", "rm", "shop_cart") })

	record := written(t, p, "swarm", "from the swarm")
	expect(t, record, map[string]any{
		"docker_app": "shop", "docker_service": "shop_cart", "swarm_service": "shop_cart",
		"swarm_node_id": e.Docker(t, "info", "--format", "{{.Swarm.NodeID}}"),
	})
	if task, _ := record["swarm_task"].(string); !strings.HasPrefix(task, "shop_cart.1.") {
		t.Errorf("swarm_task is %q", task)
	}
}

// swarm makes the engine a swarm of one node for as long as the test runs, unless it is in one already.
func swarm(t *testing.T, e *engine.Engine) {
	t.Helper()
	if e.Docker(t, "info", "--format", "{{.Swarm.ControlAvailable}}") == "true" {
		return
	}
	e.Docker(t, "swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1")
	t.Cleanup(func() {
		// The last tasks hold the plugin until they are gone.
		engine.Eventually(t, 30*time.Second, func() (bool, string) {
			left := e.Docker(t, "ps", "--all", "--quiet", "--filter", "label=com.docker.swarm.task")
			return left == "", "containers of the swarm are still there: " + left
		})
		e.Docker(t, "swarm", "leave", "--force")
	})
}

func TestWithoutDeclaration(t *testing.T) {
	e := engine.New(t)
	p := e.NewPlugin(t, "REMORA_DEFAULT_TARGET=everything-else")
	e.Run(t, p.Name, nil, "-text", `nothing declared\n`)
	written(t, p, "everything-else", "nothing declared")
}

func TestDeclarationsReplaceTheDefault(t *testing.T) {
	e := engine.New(t)
	p := e.NewPlugin(t)
	e.Run(t, p.Name, []string{"--label", "aliyun.logs.first=stdout", "--env", "aliyun_logs_second=stdout",
		"--label", "aliyun.logs.first.target=renamed"}, "-text", `for two\n`)
	written(t, p, "renamed", "for two")
	written(t, p, "second", "for two")
	if files := files(t, p); !slices.Equal(files, []string{"renamed.log", "second.log"}) {
		t.Errorf("the output holds %v", files)
	}
}

func files(t *testing.T, p *engine.Plugin) []string {
	t.Helper()
	entries, err := os.ReadDir(p.Output())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestLogOptions(t *testing.T) {
	e := engine.New(t)
	p := e.NewPlugin(t)
	since := time.Now()
	c := e.Run(t, p.Name, []string{
		"--label", "tier=front", "--label", "tier.zone=b", "--label", "secret=hidden",
		"--env", "REGION=eu", "--env", "STAGE_NAME=blue", "--env", "PASSWORD=swordfish",
		"--log-opt", "target=opted", "--log-opt", "tags=a=1,b=2", "--log-opt", "format=json",
		"--log-opt", "labels=tier", "--log-opt", "labels-regex=^tier\\.z", "--log-opt", "env=REGION",
		"--log-opt", "env-regex=^STAGE", "--log-opt", "tag={{.Name}}/{{.ID}}",
		"--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=4m", "--log-opt", "no-such-option=1",
	}, "-text", `{"status":200}\n`)

	log := follow(p, "opted")
	record := log.AwaitOther(t, 30*time.Second, func(*verify.Record) bool { return true }).Members(t)
	expect(t, record, map[string]any{
		"status": float64(200), "a": "1", "b": "2", "tier": "front", "tier.zone": "b", "REGION": "eu", "STAGE_NAME": "blue",
		"tag": c.Name(t) + "/" + c.ID[:12], "secret": nil, "PASSWORD": nil,
	})
	said := strings.Join(p.Said(t, since), "\n")
	if !strings.Contains(said, "no-such-option") {
		t.Errorf("the unknown option was not warned about: %s", said)
	}
	if strings.Contains(said, "swordfish") || found(t, p.State(), "swordfish") {
		t.Error("the container's password was written somewhere")
	}
}

// found reports whether a file below dir holds text.
func found(t *testing.T, dir, text string) bool {
	t.Helper()
	there := false
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		there = there || strings.Contains(string(content), text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return there
}

// A bad declaration costs neither the container nor its neighbours anything; it is said, with its key.
func TestInvalidDeclaration(t *testing.T) {
	e := engine.New(t)
	p := e.NewPlugin(t)
	since := time.Now()
	c := e.Run(t, p.Name, []string{"--label", "aliyun.logs.bad=relative/path", "--label", "aliyun.logs.good=stdout",
		"--label", "aliyun.logs.good.format=no-such-format"}, "-text", `still here\n`)
	engine.Eventually(t, 20*time.Second, func() (bool, string) {
		said := strings.Join(p.Said(t, since), "\n")
		return strings.Contains(said, "aliyun.logs.bad") && strings.Contains(said, "aliyun.logs.good.format"), said
	})
	c.Wait(t)
	e.Run(t, p.Name, nil, "-text", `a neighbour\n`)
	written(t, p, defaultTarget, "a neighbour")
}

// What the engine hands over is JSON, with whatever the user wrote in it.
func TestOddBytes(t *testing.T) {
	e := engine.New(t)
	p := e.NewPlugin(t)
	line := "tab\t quote\" back\\slash \u00fc \u2028 bell\a"
	e.Run(t, p.Name, []string{"--label", "aliyun.logs.odd=stdout"}, "-text", line+`\n`)
	record := written(t, p, "odd", line)
	if _, err := json.Marshal(record); err != nil {
		t.Error(err)
	}
}
