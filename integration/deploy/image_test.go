// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"archive/tar"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/pod"
	"github.com/remora-logs/remora/integration/verify"
)

const sidecarImage = "remora-test-sidecar"

// buildSidecar builds the image as `make image` does.
func buildSidecar(t *testing.T, e *engine.Engine) {
	t.Helper()
	root := engine.Root(t)
	e.Docker(t, "build", "--quiet", "--tag", sidecarImage, "--file", file(t, "docker", "sidecar.Dockerfile"), root+"/bin/image")
}

func TestSidecarImage(t *testing.T) {
	e := engine.New(t)
	buildSidecar(t, e)
	if user := e.Docker(t, "image", "inspect", "--format", "{{.Config.User}}", sidecarImage); user != "65532:65532" {
		t.Errorf("its user is %q", user)
	}
	id := e.Docker(t, "create", sidecarImage)
	t.Cleanup(func() { e.Docker(t, "rm", id) })
	export, err := e.Try("export", id)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]*tar.Header)
	for archive := tar.NewReader(strings.NewReader(export)); ; {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = header
	}
	if f := files["etc/ssl/certs/ca-certificates.crt"]; f == nil || f.Size < 10_000 {
		t.Error("it holds no certificates")
	}
	if f := files["var/lib/remora/"]; f == nil || f.Uid != 65532 {
		t.Error("its state directory does not belong to its user")
	}
	for name := range files {
		if strings.HasPrefix(name, "bin/") || strings.HasPrefix(name, "usr/") {
			t.Errorf("it holds %s", name)
		}
	}
}

// The Pods as they are copied, played with docker: each sidecar as its user, without capabilities, on a root file system
// that is read-only.
func TestPodDelivers(t *testing.T) {
	p, err := pod.Load(file(t, "kubernetes", "pod.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, p, "/var/log/nginx/access.log")
}

func TestDeploymentDelivers(t *testing.T) {
	p, err := pod.Template(example(t, "kubernetes", "deployment.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, p, "/var/log/nginx/access.log")
}

func TestJobDelivers(t *testing.T) {
	p, err := pod.Template(example(t, "kubernetes", "job.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, p, "/var/log/report/report.log")
}

// deliver plays p with a generator in place of its application, which writes and rotates the file at path.
func deliver(t *testing.T, p *core.Pod, path string) {
	t.Helper()
	e := engine.New(t)
	buildSidecar(t, e)
	image := e.Generator(t)
	const prefix, lines = "remora-test-", 20_000
	beside, err := pod.Sidecar(p, prefix)
	if err != nil {
		t.Fatal(err)
	}
	application, err := pod.Application(p, prefix)
	if err != nil {
		t.Fatal(err)
	}
	sidecar := prefix + p.Spec.InitContainers[0].Name
	t.Cleanup(func() {
		e.Try("rm", "--force", sidecar, prefix+p.Spec.Containers[0].Name)
		e.Try(append([]string{"volume", "rm", "--force"}, pod.Volumes(p, prefix)...)...)
	})
	e.Docker(t, append(append([]string{"run", "--detach", "--log-driver", "json-file"}, beside...), sidecarImage)...)
	e.Docker(t, append(append([]string{"run", "--detach"}, application...), image, "-name", "pod", "-lines", fmt.Sprint(lines),
		"-rate", "5000", "-file", path, "-rotate", "7000")...)

	engine.Eventually(t, time.Minute, func() (bool, string) {
		n, err := verify.Count(strings.NewReader(e.Docker(t, "logs", sidecar)), "pod", "")
		if err != nil {
			t.Fatal(err)
		}
		return n.Missing(lines) == 0 && n.Twice == 0 && n.Disorder == 0,
			fmt.Sprintf("missing %s; %d twice, %d out of order", n.Holes(lines), n.Twice, n.Disorder)
	})
	e.Docker(t, "stop", "--time", "40", sidecar)
	if code := e.Docker(t, "inspect", "--format", "{{.State.ExitCode}}", sidecar); code != "0" {
		t.Errorf("stopped, the sidecar ended with %s", code)
	}
}
