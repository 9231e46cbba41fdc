// SPDX-License-Identifier: Apache-2.0

//go:build release

// Package release holds the proofs about what is published: they take what `make test-release` has built into
// bin/release-test.
package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/remora-logs/remora/integration/engine"
)

// version is that of make test-release, and packageVersion the same as deb and rpm write it.
const version, packageVersion = "0.0.2-test", "0.0.2~test"

// built is the path of a file of the release.
func built(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(engine.Root(t), "bin", "release-test", name)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A second build, from a clone in another directory and without anything that the first one has compiled, is the same.
func TestTwoBuildsAreEqual(t *testing.T) {
	clone := filepath.Join(t.TempDir(), "elsewhere")
	run(t, "", nil, "git", "clone", "--quiet", engine.Root(t), clone)
	run(t, clone, nil, "git", "checkout", "--quiet", "--detach", bill(t).Metadata.Component.Properties[0].Value)
	run(t, clone, []string{"GOCACHE=" + t.TempDir(), "TZ=Asia/Shanghai"}, "make", "release", "VERSION="+version, "RELEASE=bin/again")
	again := string(read(t, filepath.Join(clone, "bin", "again", "SHA256SUMS")))
	first := string(read(t, built(t, "SHA256SUMS")))
	for line := range strings.Lines(first) {
		if !strings.Contains(again, line) {
			t.Errorf("built again, it is not the same: %s", line)
		}
	}
	if len(first) != len(again) {
		t.Errorf("the one has\n%s\nthe other\n%s", first, again)
	}
	run(t, built(t, ""), nil, "sha256sum", "--check", "--quiet", "SHA256SUMS")
}

func run(t *testing.T, dir string, env []string, command ...string) string {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

// files reads an archive whole: what is in it by name, and the headers.
func files(t *testing.T, archive io.Reader) (map[string][]byte, map[string]*tar.Header) {
	t.Helper()
	contents, headers := make(map[string][]byte), make(map[string]*tar.Header)
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if contents[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		headers[h.Name] = h
	}
	return contents, headers
}

func unpacked(t *testing.T, compressed []byte) (map[string][]byte, map[string]*tar.Header) {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		t.Fatal(err)
	}
	return files(t, r)
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// isStatic fails unless the program is one for the architecture that needs no library and no loader.
func isStatic(t *testing.T, program []byte, arch string) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	if f.Machine != machines[arch] {
		t.Errorf("a program for %s is one for %v", arch, f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("a program for %s is linked dynamically", arch)
		}
	}
}

// materials is what is asked of the bill of materials.
type materials struct {
	Metadata struct {
		Component struct {
			Properties []struct{ Name, Value string }
		}
	}
	Components []struct {
		Name, Version string
		Licenses      []struct{ License struct{ ID string } }
	}
}

func bill(t *testing.T) (b materials) {
	t.Helper()
	if err := json.Unmarshal(read(t, built(t, "remora-"+version+".cdx.json")), &b); err != nil {
		t.Fatal(err)
	}
	if p := b.Metadata.Component.Properties; len(p) != 1 || p[0].Name != "git:commit" {
		t.Fatalf("the bill of materials does not name the commit: %+v", p)
	}
	return b
}

// Programs are static, know their version, and all modules in them are in the bill of materials with their licences.
func TestPrograms(t *testing.T) {
	bom := bill(t)
	known := make(map[string]bool)
	for _, c := range bom.Components {
		known[c.Name+" "+c.Version] = len(c.Licenses) > 0
	}
	licences := string(read(t, built(t, "LICENSES.txt")))
	for arch := range machines {
		dir := fmt.Sprintf("remora-%s-linux-%s", version, arch)
		contents, _ := unpacked(t, read(t, built(t, dir+".tar.gz")))
		for _, name := range []string{"driver", "sidecar", "node", "logger"} {
			program := contents[dir+"/remora-"+name]
			isStatic(t, program, arch)
			info, err := buildinfo.Read(bytes.NewReader(program))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range info.Deps {
				if !known[m.Path+" "+m.Version] {
					t.Errorf("the bill of materials lacks %s %s, or its licence", m.Path, m.Version)
				}
				if !strings.Contains(licences, "\n"+m.Path+" "+m.Version+" (") {
					t.Errorf("LICENSES.txt lacks %s %s", m.Path, m.Version)
				}
			}
		}
		for _, name := range []string{"LICENSE", "LICENSES.txt"} {
			if len(contents[dir+"/"+name]) == 0 {
				t.Errorf("%s lacks %s", dir, name)
			}
		}
	}
}

// The plugin is complete for both architectures, with certificates and licences.
func TestPlugin(t *testing.T) {
	for arch := range machines {
		contents, headers := unpacked(t, read(t, built(t, fmt.Sprintf("remora-plugin-%s-linux-%s.tar.gz", version, arch))))
		isStatic(t, contents["rootfs/remora-driver"], arch)
		if !json.Valid(contents["config.json"]) {
			t.Error("config.json is no JSON")
		}
		for _, name := range []string{"rootfs/LICENSE", "rootfs/LICENSES.txt", "rootfs/etc/ssl/certs/ca-certificates.crt"} {
			if len(contents[name]) < 10_000 {
				t.Errorf("%s: %s has %d bytes", arch, name, len(contents[name]))
			}
		}
		if h := headers["rootfs/var/lib/remora/"]; h == nil {
			t.Errorf("%s: the state directory is missing", arch)
		}
	}
}

// descriptor and index are what is asked of an OCI layout.
type descriptor struct {
	Digest      string
	Platform    struct{ OS, Architecture string }
	Annotations map[string]string
}

type index struct{ Manifests []descriptor }

const maxImage = 30_000_000

// Images hold one program, no shell and nothing else to run, run as a user that is a number, stay below maxImage, are there for
// both architectures, and are what their suffix says.
func TestImages(t *testing.T) {
	for _, c := range []struct{ name, suffix, user, pilot string }{
		{"node", "", "", ""}, {"node", "-filebeat", "", "filebeat"}, {"node", "-fluentd", "", "fluentd"},
		{"sidecar", "", "65532:65532", ""}, {"sidecar", "-filebeat", "65532:65532", "filebeat"}, {"sidecar", "-fluentd", "65532:65532", "fluentd"},
	} {
		t.Run(c.name+c.suffix, func(t *testing.T) {
			l := readLayout(t, built(t, fmt.Sprintf("remora-%s-%s%s.oci.tar", c.name, version, c.suffix)))
			var top, platforms index
			l.json("index.json", &top)
			if len(top.Manifests) != 1 || top.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != version+c.suffix {
				t.Fatalf("the layout's index is %+v", top)
			}
			l.blob(top.Manifests[0].Digest, &platforms)
			if len(platforms.Manifests) != len(machines) {
				t.Fatalf("%d platforms", len(platforms.Manifests))
			}
			for _, m := range platforms.Manifests {
				l.image(m, c.name, c.user, c.pilot)
			}
		})
	}
}

type layout struct {
	t     *testing.T
	files map[string][]byte
}

func readLayout(t *testing.T, path string) *layout {
	contents, _ := files(t, bytes.NewReader(read(t, path)))
	l := &layout{t: t, files: contents}
	for name, text := range contents {
		if digest, ok := strings.CutPrefix(name, "blobs/sha256/"); ok && digest != "" && fmt.Sprintf("%x", sha256.Sum256(text)) != digest {
			t.Errorf("%s has another digest", name)
		}
	}
	return l
}

func (l *layout) json(name string, to any) {
	l.t.Helper()
	if err := json.Unmarshal(l.files[name], to); err != nil {
		l.t.Fatalf("%s: %v", name, err)
	}
}

func (l *layout) blob(digest string, to any) {
	l.t.Helper()
	l.json(l.path(digest), to)
}

func (l *layout) path(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }

func (l *layout) image(m descriptor, name, user, pilot string) {
	t, arch := l.t, m.Platform.Architecture
	t.Helper()
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	l.blob(m.Digest, &manifest)
	var config struct {
		OS, Architecture string
		Config           struct {
			User            string
			Env, Entrypoint []string
		}
	}
	l.blob(manifest.Config.Digest, &config)
	if m.Platform.OS != "linux" || config.OS != "linux" || config.Architecture != arch {
		t.Errorf("the platform is %+v in the index, %s/%s in the configuration", m.Platform, config.OS, config.Architecture)
	}
	if config.Config.User == "" || strings.Trim(config.Config.User, "0123456789:") != "" || user != "" && config.Config.User != user {
		t.Errorf("%s: the user is %q", arch, config.Config.User)
	}
	if fmt.Sprint(config.Config.Entrypoint) != "[/remora-"+name+"]" {
		t.Errorf("%s: the entry point is %v", arch, config.Config.Entrypoint)
	}
	if env := strings.Join(config.Config.Env, "\n") + "\n"; !strings.Contains(env, "PILOT_TYPE="+pilot+"\n") || !strings.Contains(env, "REMORA_IMAGE="+name+"\n") {
		t.Errorf("%s: the environment is %q", arch, env)
	}
	size := 0
	for _, layer := range manifest.Layers {
		contents, headers := unpacked(t, l.files[l.path(layer.Digest)])
		for path, h := range headers {
			size += len(contents[path])
			if h.Typeflag == tar.TypeReg && h.Mode&0o111 != 0 {
				if path != "remora-"+name {
					t.Errorf("%s: %s can be run", arch, path)
				}
				isStatic(t, contents[path], arch)
			}
		}
		for _, path := range []string{"LICENSE", "LICENSES.txt", "etc/ssl/certs/ca-certificates.crt"} {
			if len(contents[path]) == 0 {
				t.Errorf("%s: %s is missing", arch, path)
			}
		}
	}
	if size > maxImage {
		t.Errorf("%s: %d bytes, over %d", arch, size, maxImage)
	}
	t.Logf("%s: %d bytes", arch, size)
}
