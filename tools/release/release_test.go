// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSectionOfTheChangelog(t *testing.T) {
	const changelog = "# Changelog\n\n## [Unreleased]\n\nnew\n\n## [1.2.0] - 2026-11-01\n\n### Added\n\n- this\n\n## [1.1.0]\n\nold\n"
	for version, want := range map[string]string{
		"1.2.0":      "## [1.2.0] - 2026-11-01\n\n### Added\n\n- this\n",
		"1.1.0":      "## [1.1.0]\n\nold\n",
		"1.3.0-rc.1": "## [Unreleased]\n\nnew\n",
	} {
		if got, err := sectionOf(changelog, version); err != nil || got != want {
			t.Errorf("%s: %q, %v", version, got, err)
		}
	}
	for _, version := range []string{"1.3.0", "1.2"} {
		if got, err := sectionOf(changelog, version); err == nil {
			t.Errorf("%s has the section %q", version, got)
		}
	}
}

// context makes a directory with these files; of one that ends in a slash, the directory with a file .keep.
func context(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range files {
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			path = filepath.Join(path, ".keep")
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDockerfile(t *testing.T) {
	dir := context(t, "program", "state/", "pilot/healthz", "A", "B")
	got, err := readDockerfile(`# a comment
FROM scratch
COPY program /bin/program
COPY --chown=65532:65533 state /var/lib/x
COPY pilot /pilot
COPY B A /
ARG KIND=none
ENV KIND=$KIND
USER 65532:65532
ENTRYPOINT ["/bin/program", "run"]
`, dir, map[string]string{"KIND": "given", "OTHER": "x"})
	if err != nil {
		t.Fatal(err)
	}
	for path, owner := range map[string]string{"bin/program": "0:0", "var/lib/x": "65532:65533", "pilot/healthz": "0:0", "A": "0:0", "B": "0:0"} {
		if e, ok := got.files[path]; !ok || fmt.Sprintf("%d:%d", e.uid, e.gid) != owner {
			t.Errorf("%s is %+v, want it of %s", path, e, owner)
		}
	}
	if c := got.config; c.User != "65532:65532" || fmt.Sprint(c.Entrypoint) != "[/bin/program run]" || c.Env[len(c.Env)-1] != "KIND=given" {
		t.Errorf("the configuration is %+v", c)
	}
	for _, wrong := range []string{"FROM debian", "RUN x", "COPY missing /", "COPY --chown=root A /", "ENV A=\"b c\"", "ENTRYPOINT sh"} {
		if _, err := readDockerfile("FROM scratch\n"+wrong, dir, nil); err == nil || !strings.Contains(err.Error(), "line") {
			t.Errorf("%s: the error is %v", wrong, err)
		}
	}
}

// An archive is whole, has all directories, and depends neither on times nor on permissions of the machine.
func TestArchivesAreTheSame(t *testing.T) {
	when := time.Unix(1_700_000_000, 0)
	var archives [2][]byte
	for i := range archives {
		dir := context(t, "a/b/c", "d")
		if err := os.Chtimes(filepath.Join(dir, "d"), time.Now(), time.Unix(int64(i), 0)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, "a"), os.FileMode(0o700+i*0o55)); err != nil {
			t.Fatal(err)
		}
		files := make(tree)
		if err := files.add(dir, "x/y", 0, 0); err != nil {
			t.Fatal(err)
		}
		var err error
		if archives[i], err = files.tar(when); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two archives of the same files differ")
	}
	if !bytes.HasSuffix(archives[0], make([]byte, 1024)) {
		t.Error("the archive has no end")
	}
	var names []string
	for r := tar.NewReader(bytes.NewReader(archives[0])); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(when) {
			t.Errorf("%s is of %v", h.Name, h.ModTime)
		}
		names = append(names, h.Name)
	}
	if got := strings.Join(names, " "); got != "x/ x/y/ x/y/a/ x/y/a/b/ x/y/a/b/c x/y/d" {
		t.Errorf("it holds %s", got)
	}
}
