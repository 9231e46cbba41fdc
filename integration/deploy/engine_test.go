// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/verify"
)

// An engine whose every container logs with Remora, as deploy/docker/daemon.json says. It does not start where the plugin
// is not there, so that the plugin comes first; and the plugin has the name that the file gives, so that the engine is
// one of the test's own.
func TestDaemonJSON(t *testing.T) {
	e := engine.NewPrivate(t)
	p := e.CreatePlugin(t, "remora:latest")
	p.Enable(t) // as it is shipped: the output file, below its state
	e.Stop(t)
	e.Start(t, "--config-file", file(t, "docker", "daemon.json"))
	id := e.Docker(t, "run", "--detach", "--network", "none", "--label", "aliyun.logs.daemon=stdout",
		e.Generator(t), "-name", "default", "-lines", "100")
	t.Cleanup(func() { e.Docker(t, "rm", "--force", id) })
	verify.Open(filepath.Join(p.Output(), "daemon.log")).ExactlyOnce(t, 30*time.Second, "default", "stdout", 100)
	if logs := e.Docker(t, "logs", "--tail", "1", id); logs != "default 99" {
		t.Errorf("docker logs says %q", logs)
	}
}

// The stack unchanged but for its image, which can't be had without a registry, and its network, which an engine
// without iptables does not have.
func TestStackIsDeployed(t *testing.T) {
	e := engine.NewPrivate(t)
	p := e.CreatePlugin(t, "remora:latest")
	p.Enable(t)
	image := e.Generator(t)
	override := filepath.Join(t.TempDir(), "override.yml")
	content := "version: '3.8'\nservices:\n  web:\n    image: " + image + "\n" +
		"    command: ['-name', 'stack', '-lines', '50', '-hold']\n" +
		"    networks: [outside]\nnetworks:\n  outside: {external: true, name: host}\n"
	if err := os.WriteFile(override, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	e.Docker(t, "swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1")
	e.Docker(t, "stack", "deploy", "--resolve-image", "never", "--compose-file", file(t, "swarm", "stack.yml"),
		"--compose-file", override, "shop")
	t.Cleanup(func() {
		e.Docker(t, "stack", "rm", "shop")
		engine.Eventually(t, time.Minute, func() (bool, string) {
			left := e.Docker(t, "ps", "--all", "--quiet")
			return left == "", "the stack's containers are still there: " + left
		})
	})

	log := verify.Open(filepath.Join(p.Output(), "web.log"))
	containers := make(map[string]bool)
	log.Each = func(t testing.TB, r *verify.Record) {
		m := r.Members(t)
		containers[m["container_id"].(string)] = true
		if m["docker_app"] != "shop" || m["docker_service"] != "shop_web" || m["team"] != "shop" || m["tier"] != "front" {
			t.Fatalf("tags of the stack are missing: %s", r.Raw)
		}
	}
	n := log.Await(t, time.Minute, "stack", "stdout", 50)
	engine.Eventually(t, time.Minute, func() (bool, string) {
		log.Read(t)
		return len(containers) == 2 && n.Twice == 50, "not both replicas' lines are there"
	})
}
