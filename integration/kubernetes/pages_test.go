// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/remora-logs/remora/integration/engine"
)

// The kubectl commands of the pages work as printed, in the order in which a user needs them. The images that `make image`
// and `docker push` would make are there already, and nginx is a program that writes numbered lines.
func TestPagesWorkAsPrinted(t *testing.T) {
	p := openPages(t)
	t.Run("sidecar", p.sidecar)
	t.Run("node agent", p.nodeAgent)
	t.Run("examples", p.examples)
	for text, page := range p.blocks {
		if !p.ran[text] {
			t.Errorf("%s: no test runs\n%s", page, text)
		}
	}
}

func (p *pages) sidecar(t *testing.T) {
	// As docs/install.md has it, then once more as docs/sidecar.md does, which then also says how it is removed.
	p.run(t, "docs/install.md", "apply -f -\nkubectl wait pod/web", `"message":"`)
	kubectl(t, "delete", "pod", "web", "--grace-period", "5")
	p.run(t, "docs/sidecar.md", "kubectl apply", "OUTPUT")
	p.run(t, "docs/install.md", "kubectl exec web", "takes records")
	p.run(t, "docs/monitoring.md", "kubectl exec web", "takes records")
	p.run(t, "docs/operations.md", "kubectl exec web", "takes records")
	p.run(t, "docs/troubleshooting.md", "support", "")
	if bundle, err := os.ReadFile(filepath.Join(p.dir, "remora-support.tar.gz")); err != nil || !bytes.HasPrefix(bundle, []byte{0x1f, 0x8b}) {
		t.Errorf("the bundle is no gzip file: %.20q, %v", bundle, err)
	}
	for command := range p.inline {
		if out := p.shell(t, strings.ReplaceAll(command, "POD", "web")); out == "" {
			t.Errorf("%s prints nothing", command)
		}
	}
	p.run(t, "docs/sidecar.md", "kubectl delete", "deleted")
}

func (p *pages) nodeAgent(t *testing.T) {
	t.Cleanup(func() {
		if _, err := node.Kubectl("", "delete", "namespace", "remora", "--wait", "--ignore-not-found"); err != nil {
			t.Error(err)
		}
	})
	web := generatorPod("web-1", map[string]string{"aliyun_logs_access": "stdout"}, "-name", "web", "-lines", "-1", "-rate", "20")
	web.Spec.Containers[0].Name = "nginx"
	apply(t, "pod", web.Name, web)
	started(t, web.Name)
	other := generatorPod("web", map[string]string{"aliyun_logs_web": "stdout"}, "-name", "other", "-lines", "1", "-hold")
	apply(t, "pod", other.Name, other)
	started(t, other.Name)

	p.run(t, "docs/install.md", "/remora-node status", "OUTPUT")
	p.run(t, "docs/node.md", "kubectl delete", "deleted")
	p.run(t, "docs/node.md", "kubectl apply", "")
	p.run(t, "docs/node.md", "explain --all", "default/web-1")
	p.follow(t, "docs/node.md", "/remora-node tail", `"k8s_pod":"web-1"`)
	p.follow(t, "docs/monitoring.md", "/remora-node tail", `"k8s_pod":"web-1"`)
	p.follow(t, "docs/node.md", "port-forward", "Forwarding from 127.0.0.1:9750")
	p.run(t, "docs/node.md", "kubectl -n remora set image", "successfully rolled out")
}

func (p *pages) examples(t *testing.T) {
	t.Cleanup(func() {
		if t.Failed() {
			state, _ := node.Kubectl("", "describe", "pods", "--all-namespaces")
			t.Logf("the Pods:\n%.20000s", state)
		}
		for _, what := range [][]string{{"namespace/remora"}, {"deployment/web", "deployment/tomcat", "job/report"}} {
			if _, err := node.Kubectl("", append([]string{"delete", "--ignore-not-found", "--wait"}, what...)...); err != nil {
				t.Error(err)
			}
		}
	})
	p.run(t, "examples/README.md", "deployment.yaml", `"message":"`)
	p.run(t, "docs/sidecar.md", "kubectl set image", "successfully rolled out")
	p.run(t, "examples/README.md", "job.yaml", "condition met")
	if err := os.WriteFile(filepath.Join(p.dir, "api-key"), []byte("key"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.run(t, "examples/README.md", "daemonset.yaml", "")
	kubectl(t, "rollout", "status", "--namespace", "remora", "daemonset/remora-node", "--timeout", "2m")
}

// pages are the commands of all pages, and where they are run.
type pages struct {
	dir    string            // holds what commands name: the manifests, with what is not on this node replaced
	blocks map[string]string // a block of commands with kubectl → its page
	inline map[string]bool   // commands in sentences, of a Pod called POD
	ran    map[string]bool
}

var (
	shellBlock = regexp.MustCompile("(?s)\n *```(?:sh|console)\n(.*?)```")
	ofAPod     = regexp.MustCompile("`(kubectl (?:logs|exec) POD [^`]*)`")
	remark     = regexp.MustCompile(`(?m)^# .*\n`) // differs between languages
)

func openPages(t *testing.T) *pages {
	t.Helper()
	p := &pages{dir: t.TempDir(), blocks: map[string]string{}, inline: map[string]bool{}, ran: map[string]bool{}}
	read := func(path string) {
		content, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range shellBlock.FindAllSubmatch(content, -1) {
			if text := remark.ReplaceAllString(string(m[1]), ""); strings.Contains(text, "kubectl ") && p.blocks[text] == "" {
				p.blocks[text] = path
			}
		}
		for _, m := range ofAPod.FindAllSubmatch(content, -1) {
			p.inline[string(m[1])] = true
		}
	}
	read("README.md")
	read("README.zh-CN.md")
	read("examples/README.md")
	err := fs.WalkDir(os.DirFS(root), "docs", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			read(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.blocks) < 15 || len(p.inline) < 2 {
		t.Fatalf("%d blocks, %d commands in sentences: has this test lost sight of some?", len(p.blocks), len(p.inline))
	}

	p.write(t, "deploy/kubernetes/pod.yaml", p.manifest(t, "deploy/kubernetes/pod.yaml"))
	p.write(t, "deploy/node/containerd.yaml", adjusted(t, "deploy/node/containerd.yaml", filepath.Join(p.dir, "out")))
	p.write(t, "examples/kubernetes/daemonset.yaml", adjusted(t, "examples/kubernetes/daemonset.yaml", filepath.Join(p.dir, "out")))
	p.write(t, "examples/kubernetes/tomcat.yaml", p.manifest(t, "examples/kubernetes/tomcat.yaml"))
	var d apps.Deployment
	p.replaced(t, "examples/kubernetes/deployment.yaml", &d, &d.Spec.Template.Spec)
	var j batch.Job
	p.replaced(t, "examples/kubernetes/job.yaml", &j, &j.Spec.Template.Spec)

	kubectl := node.Command()
	p.write(t, "bin/kubectl", "#!/bin/sh\nexec '"+strings.Join(kubectl.Args, "' '")+"' \"$@\"\n")
	p.write(t, "bin/make", "#!/bin/sh\ncase $* in image|image-node) ;; *) exit 1; esac\n")
	p.write(t, "bin/docker", "#!/bin/sh\ncase $1 in tag|push) ;; *) exit 1; esac\n")
	return p
}

func (p *pages) manifest(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// replaced writes a manifest whose application, of an image that has a shell, is one that writes lines.
func (p *pages) replaced(t *testing.T, path string, object any, spec *core.PodSpec) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(p.manifest(t, path)), object); err != nil {
		t.Fatal(err)
	}
	app := &spec.Containers[0]
	app.Image, app.ImagePullPolicy, app.Command = generator, core.PullNever, nil
	app.Args = []string{"-name", app.Name, "-lines", "100", "-file", app.VolumeMounts[0].MountPath + "/access.log"}
	if spec.RestartPolicy != core.RestartPolicyNever {
		app.Args = append(app.Args, "-hold")
	}
	text, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, path, string(text))
}

func (p *pages) write(t *testing.T, path, text string) {
	t.Helper()
	path = filepath.Join(p.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// block is the block of a page that has the words, which is run now.
func (p *pages) block(t *testing.T, page, words string) string {
	t.Helper()
	for _, m := range shellBlock.FindAllStringSubmatch(p.manifest(t, page), -1) {
		if text := remark.ReplaceAllString(m[1], ""); strings.Contains(text, "kubectl ") && strings.Contains(text, words) {
			p.ran[text] = true
			return text
		}
	}
	t.Fatalf("%s has no block with %q", page, words)
	return ""
}

// run runs a block of a page, and expects that its output has want, sooner or later: a sidecar that has just started has not
// read anything yet.
func (p *pages) run(t *testing.T, page, words, want string) {
	t.Helper()
	block, began := p.block(t, page, words), time.Now()
	defer func() { t.Logf("%s: %.60q took %v", page, block, time.Since(began).Round(time.Second)) }()
	engine.Eventually(t, time.Minute, func() (bool, string) {
		out := p.shell(t, block)
		return strings.Contains(out, want), fmt.Sprintf("%s: %sdoes not print %q but\n%s", page, block, want, out)
	})
}

func (p *pages) shell(t *testing.T, text string) string {
	t.Helper()
	out, err := p.command(text).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", text, err, out)
	}
	return string(out)
}

// follow runs a block whose last command ends when the user ends it, which is when its output has want.
func (p *pages) follow(t *testing.T, page, words, want string) {
	t.Helper()
	cmd, f := p.command(p.block(t, page, words)), &followed{}
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	defer func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		<-ended
	}()
	engine.Eventually(t, time.Minute, func() (bool, string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return strings.Contains(f.all.String(), want), fmt.Sprintf("%s: %s does not print %q but\n%s", page, words, want, f.all.String())
	})
}

func (p *pages) command(text string) *exec.Cmd {
	cmd := exec.Command("sh", "-euc", text)
	cmd.Dir = p.dir
	cmd.Env = append(node.Command().Env, "PATH="+filepath.Join(p.dir, "bin")+":"+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}
