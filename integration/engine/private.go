// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Private is an engine of the test's own, which it may stop and start.
type Private struct {
	Engine
	dir string
}

// NewPrivate starts an engine of the test's own, with further flags for dockerd as Start has them, and removes it in the
// end.
func NewPrivate(t testing.TB, flags ...string) *Private {
	t.Helper()
	dir, err := os.MkdirTemp("/var/lib", "remora-engine-") // a socket's path may have 107 bytes, so not t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	p := &Private{dir: dir}
	p.host = "unix://" + filepath.Join(dir, "docker.sock")
	p.log = filepath.Join(dir, "dockerd.log")
	p.root = filepath.Join(dir, "data")
	t.Cleanup(func() { p.script(t, "remove") })
	p.Start(t, flags...)
	return p
}

// Start starts dockerd and waits until it answers.
func (p *Private) Start(t testing.TB, flags ...string) { t.Helper(); p.script(t, "start", flags...) }

// Stop ends dockerd and waits until it is gone. Its data stays.
func (p *Private) Stop(t testing.TB) { t.Helper(); p.script(t, "stop") }

func (p *Private) script(t testing.TB, verb string, flags ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(Root(t), "hack", "engine"), append([]string{verb, p.dir}, flags...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("hack/engine %s: %v: %s", verb, err, out)
		if verb != "remove" {
			t.FailNow()
		}
	}
}
