// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/verify"
)

// The commands of docs/driver.md, in the order in which an operator needs them, as printed but for the names of what is
// in no registry here: the plugin, and the application's image.
func TestDriverPageWorksAsPrinted(t *testing.T) {
	e := engine.NewPrivate(t)
	registry := engine.Registry(t)
	for _, version := range []string{"latest", "v2"} {
		name := registry + "/remora:" + version
		e.Docker(t, "plugin", "create", name, engine.Root(t)+"/bin/plugin")
		e.Docker(t, "plugin", "push", name)
		e.Docker(t, "plugin", "rm", name)
	}
	p := &printed{e: e, blocks: commands(t, "driver.md"), replacer: strings.NewReplacer(
		"example.com/remora-logs/remora", registry+"/remora",
		"docker run --detach", "docker run --detach --network none",
		"nginx:1.29", e.Generator(t)+" -name page -lines 100 -hold",
	)}

	p.run(t, "docker plugin install", "")
	p.run(t, "docker plugin rm", "")
	p.run(t, "make plugin", "")
	p.run(t, "docker run", "")
	p.run(t, "explain --container web", "team=shop")
	state := filepath.Join(e.Docker(t, "info", "--format", "{{.DockerRootDir}}"), "plugins",
		e.Docker(t, "plugin", "inspect", "--format", "{{.Id}}", "remora"), "propagated-mount")
	verify.Open(filepath.Join(state, "logs", "web.log")).ExactlyOnce(t, 30*time.Second, "page", "stdout", 100)
	p.run(t, "REMORA_LOG_LEVEL=debug", "")
	p.run(t, "remora-driver status", "OUTPUT")
	p.run(t, "docker plugin upgrade", "")
	if left := e.Docker(t, "ps", "--quiet"); left != "" {
		t.Errorf("the upgrade has left containers running that log through the plugin: %s", left)
	}
	e.Docker(t, "rm", "--force", "web")
	p.run(t, "docker plugin rm", "")
}

// The commands of the other pages that concern the plugin, in the same way.
func TestOtherPagesOfTheDriverWorkAsPrinted(t *testing.T) {
	e := engine.NewPrivate(t)
	registry := engine.Registry(t)
	for _, version := range []string{"latest", "v2"} {
		name := registry + "/remora:" + version
		e.Docker(t, "plugin", "create", name, engine.Root(t)+"/bin/plugin")
		e.Docker(t, "plugin", "push", name)
		e.Docker(t, "plugin", "rm", name)
	}
	p := &printed{e: e, replacer: strings.NewReplacer(
		"example.com/remora-logs/remora", registry+"/remora",
		"docker run --rm", "docker run --rm --network none",
		"nginx:1.29", e.Generator(t)+" -name page -lines 100",
	)}
	run := func(page, text, want string) {
		t.Helper()
		p.blocks = commands(t, page)
		p.run(t, text, want)
	}

	run("install.md", "docker plugin install", "")
	run("operations.md", "remora-driver status", "kafka")
	run("monitoring.md", "REMORA_LISTEN=", "")
	run("monitoring.md", "curl", "remora_")
	run("operations.md", "REMORA_SPOOL_MAX_BYTES=", "")
	run("install.md", "docker plugin upgrade", "")
	run("install.md", "docker plugin rm", "")
	run("from-log-pilot.md", "docker plugin install", "")
	run("driver.md", "docker plugin rm", "")
}

// The command of docs/node.md that runs the agent on a Docker machine: a container's output arrives in its own.
func TestNodePageWorksAsPrinted(t *testing.T) {
	e := engine.NewPrivate(t)
	e.Docker(t, "build", "--quiet", "--tag", "remora-node:latest", "--file", file(t, "docker", "node.Dockerfile"),
		engine.Root(t)+"/bin/image-node")
	p := &printed{e: e, blocks: commands(t, "node.md"), replacer: strings.NewReplacer(
		"/var/run/docker.sock:/var/run", strings.TrimPrefix(e.Host(), "unix://")+":/var/run",
		":ro,rslave", ":ro", // the root of the machine that tests run on is not shared
	)}
	p.run(t, "docker run -d --name remora-node", "")
	e.Docker(t, "run", "--detach", "--name", "web", "--network", "none", "--label", "aliyun.logs.web=stdout",
		"--label", "aliyun.logs.web.tags=team=shop", e.Generator(t), "-name", "page", "-lines", "100", "-hold")
	engine.Eventually(t, 30*time.Second, func() (bool, string) {
		n, err := verify.Count(strings.NewReader(e.Docker(t, "logs", "remora-node")), "page", "stdout")
		if err != nil {
			t.Fatal(err)
		}
		return n.Missing(100) == 0 && n.Twice == 0, "the agent's output lacks " + n.Holes(100)
	})
	p.run(t, "docker exec remora-node", "json-file in /")
	if said := e.Docker(t, "exec", "remora-node", "/remora-node", "healthz"); strings.Contains(said, "error") {
		t.Errorf("healthz says %s", said)
	}
	e.Docker(t, "rm", "--force", "web", "remora-node")
}

// printed runs commands that a page prints.
type printed struct {
	e        *engine.Private
	blocks   []string
	replacer *strings.Replacer
}

// run runs the block of commands that holds text, and expects it to succeed and to print want.
func (p *printed) run(t *testing.T, text, want string) {
	t.Helper()
	for _, block := range p.blocks {
		if !strings.Contains(block, text) {
			continue
		}
		cmd := exec.Command("sh", "-euc", p.replacer.Replace(block))
		cmd.Dir = engine.Root(t)
		cmd.Env = append(os.Environ(), "DOCKER_HOST="+p.e.Host())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", block, err, out)
		}
		if !strings.Contains(string(out), want) {
			t.Errorf("%s does not print %q, but:\n%s", block, want, out)
		}
		return
	}
	t.Fatalf("no block of the page has %q", text)
}

// commands are the blocks of shell commands of a page below docs/.
func commands(t *testing.T, page string) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(engine.Root(t), "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)\n *```sh\n(.*?)```").FindAllSubmatch(content, -1) {
		blocks = append(blocks, string(m[1]))
	}
	return blocks
}
