// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/remora-logs/remora/integration/engine"
)

// The install steps for containerd put everything where the unit looks for it, and keep settings that are there.
func TestContainerdIsInstalled(t *testing.T) {
	checkout, root := t.TempDir(), t.TempDir()
	for _, dir := range []string{"deploy/containerd", "packaging"} {
		if err := os.CopyFS(filepath.Join(checkout, dir), os.DirFS(filepath.Join(engine.Root(t), dir))); err != nil {
			t.Fatal(err)
		}
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	install := func() {
		t.Helper()
		cmd := exec.Command("sh", filepath.Join(checkout, "deploy", "containerd", "install.sh"))
		cmd.Env = append(os.Environ(), "DESTDIR="+root)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for _, version := range []string{"old", "new"} {
		for _, name := range []string{"remora-logger", "remora-node"} {
			write(filepath.Join(checkout, "bin", name), version)
		}
		install()
		for _, name := range []string{"remora-logger", "remora-node"} {
			if got := read(filepath.Join(root, "usr/local/bin", name)); got != version {
				t.Errorf("%s is the %s one", name, got)
			}
		}
		if version == "old" {
			write(filepath.Join(root, "etc/remora/node.env"), "LOGGING_OUTPUT=file\n")
		}
	}
	if got := read(filepath.Join(root, "etc/remora/node.env")); got != "LOGGING_OUTPUT=file\n" {
		t.Errorf("an upgrade replaced the settings by %q", got)
	}
	unit := read(filepath.Join(root, "etc/systemd/system/remora-node.service"))
	for _, line := range []string{"ExecStart=/usr/local/bin/remora-node", "EnvironmentFile=/etc/remora/node.env", "KillMode=process",
		"Environment=REMORA_LOGGER=/usr/local/bin/remora-logger"} {
		if !strings.Contains(unit, line+"\n") {
			t.Errorf("the unit lacks %s", line)
		}
	}
}

// The shell's own check of the script's syntax, in the checkout itself.
func TestContainerdScriptParses(t *testing.T) {
	if out, err := exec.Command("sh", "-n", filepath.Join(engine.Root(t), "deploy", "containerd", "install.sh")).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
