// SPDX-License-Identifier: Apache-2.0

//go:build release

package release

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/remora-logs/remora/integration/engine"
	"github.com/remora-logs/remora/integration/verify"
)

// The packages are installed without systemd, upgraded while the service collects, and purged. Not one line is lost or comes
// twice, and nothing is left.
func TestPackagesAreInstalledUpgradedAndPurged(t *testing.T) {
	const lines = 80_000
	dir := t.TempDir()
	for _, sub := range []string{"old", "new"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"remora-node", "remora-sidecar"} {
		deb := built(t, name+"_"+packageVersion+"_amd64.deb")
		run(t, "", nil, "cp", deb, filepath.Join(dir, "new"))
		older(t, deb, filepath.Join(dir, "old", name+".deb"))
	}
	run(t, "", nil, "cp", "testdata/systemctl", dir)
	run(t, "", []string{"CGO_ENABLED=0"}, "go", "build", "-o", filepath.Join(dir, "generator"), "../generator")

	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "testdata/packages", dir, fmt.Sprint(lines))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	arrived, err := filepath.Glob(filepath.Join(dir, "out", "app.log*"))
	if err != nil {
		t.Fatal(err)
	}
	var readers []io.Reader
	for i := len(arrived) - 1; i >= 0; i-- { // the oldest first
		f, err := os.Open(arrived[i])
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		readers = append(readers, f)
	}
	n, err := verify.Count(io.MultiReader(readers...), "load", "")
	if err != nil {
		t.Fatal(err)
	}
	if n.Missing(lines) != 0 || n.Twice != 0 || n.Disorder != 0 {
		t.Errorf("missing %s; %d twice, %d out of order", n.Holes(lines), n.Twice, n.Disorder)
	}
}

// older packs a package again with an older version.
func older(t *testing.T, deb, to string) {
	t.Helper()
	dir := t.TempDir()
	run(t, "", nil, "dpkg-deb", "--raw-extract", deb, dir)
	control := filepath.Join(dir, "DEBIAN", "control")
	text := strings.Replace(string(read(t, control)), "Version: "+packageVersion, "Version: 0.0.1", 1)
	if err := os.WriteFile(control, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "", nil, "dpkg-deb", "--root-owner-group", "--build", "-Znone", dir, to)
}

// rpm can read the packages, and finds in them what the deb has.
func TestRPMs(t *testing.T) {
	for _, arch := range []string{"x86_64", "aarch64"} {
		for name, want := range map[string]string{
			"remora-node": "/etc/remora/node.env\n/usr/bin/remora-logger\n/usr/bin/remora-node\n/usr/lib/systemd/system/remora-node.service\n" +
				"/usr/share/doc/remora-node/copyright\n",
			"remora-sidecar": "/etc/remora/sidecar.env\n/usr/bin/remora-sidecar\n/usr/lib/systemd/system/remora-sidecar.service\n" +
				"/usr/share/doc/remora-sidecar/copyright\n",
		} {
			rpm := built(t, fmt.Sprintf("%s-%s-1.%s.rpm", name, packageVersion, arch))
			run(t, "", nil, "rpm", "--checksig", "--nosignature", rpm)
			if got := run(t, "", nil, "rpm", "--query", "--list", "--package", rpm); got != want {
				t.Errorf("%s holds\n%s", rpm, got)
			}
			if got := run(t, "", nil, "rpm", "--query", "--configfiles", "--package", rpm); !strings.HasPrefix(got, "/etc/remora/") {
				t.Errorf("%s would replace settings: %q", rpm, got)
			}
		}
	}
}

var exposures = map[string]float64{"remora-node": 3, "remora-sidecar": 1.5}

var overall = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)

// The services are as little exposed as systemd can make them; the bound of the agent is 3.
func TestUnitsAreHardened(t *testing.T) {
	for name, most := range exposures {
		unit := filepath.Join(engine.Root(t), "packaging", name+".service")
		out := run(t, "", nil, "systemd-analyze", "security", "--offline=true", "--no-pager", unit)
		found := overall.FindStringSubmatch(out)
		if found == nil {
			t.Fatalf("systemd-analyze says\n%s", out)
		}
		if level, err := strconv.ParseFloat(found[1], 64); err != nil || level > most {
			t.Errorf("%s is exposed by %s, over %v", name, found[1], most)
		}
	}
}
