// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Image is the name of the image with the generator, whose doc comment tells what it can do.
const Image = "remora-test-generator"

var (
	builds   sync.Mutex
	imported = make(map[string]bool)
)

// Generator builds the generator's image from scratch, once for each engine, and returns its name.
func (e *Engine) Generator(t testing.TB) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	if imported[e.host] {
		return Image
	}
	e.Import(t, Image, filepath.Join(Root(t), "integration", "generator"))
	imported[e.host] = true
	return Image
}

// Import makes an image that holds one static program, built from the package in dir, and runs it.
func (e *Engine) Import(t testing.TB, image, dir string) {
	t.Helper()
	tmp := t.TempDir()
	build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(tmp, "program"), ".")
	build.Dir, build.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v: %s", dir, err, out)
	}
	archive := filepath.Join(tmp, "image.tar")
	if out, err := exec.Command("tar", "-C", tmp, "-cf", archive, "program").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	e.Docker(t, "import", "--change", `ENTRYPOINT ["/program"]`, archive, image)
}

// Container is a container of the test, removed at its end at the latest.
type Container struct {
	*Engine
	ID string
}

// Run starts a container of the generator that logs with driver. options are those of docker run; args the generator's.
func (e *Engine) Run(t testing.TB, driver string, options []string, args ...string) *Container {
	t.Helper()
	image := e.Generator(t)
	line := append([]string{"run", "--detach", "--network", "none", "--log-driver", driver}, options...)
	c := &Container{Engine: e, ID: e.Docker(t, append(append(line, image), args...)...)}
	t.Cleanup(func() { _, _ = e.Try("rm", "--force", c.ID) })
	return c
}

// Wait waits until the container has ended by itself, and fails where it said something else than 0.
func (c *Container) Wait(t testing.TB) {
	t.Helper()
	if code := c.Docker(t, "wait", c.ID); code != "0" {
		t.Fatalf("container %.12s ended with %s", c.ID, code)
	}
}

// Name is the container's name.
func (c *Container) Name(t testing.TB) string {
	t.Helper()
	return strings.TrimPrefix(c.Docker(t, "inspect", "--format", "{{.Name}}", c.ID), "/")
}

// Timed is how long a command of the client took with this container as its last argument.
func (c *Container) Timed(t testing.TB, args ...string) time.Duration {
	t.Helper()
	began := time.Now()
	c.Docker(t, append(args, c.ID)...)
	return time.Since(began)
}
