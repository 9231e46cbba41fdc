// SPDX-License-Identifier: Apache-2.0

// Command release builds all that a version of Remora is published as, from the commit that is checked out: programs, the
// plugin, images, packages, licence texts, a bill of materials, the changelog's section, and checksums. Two builds of a commit
// by one version of Go are equal byte for byte, wherever they are made: every time is the commit's, every order is sorted, and
// nothing of the machine goes in, its certificates included.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/remora-logs/remora/tools/release/licences"
)

func main() {
	r := release{layers: make(map[[sha256.Size]byte]v1.Layer)}
	flag.StringVar(&r.version, "version", "", "version to build, such as 1.2.0 or 1.3.0-rc.1")
	flag.StringVar(&r.out, "out", "", "directory to create; an older one is replaced")
	flag.StringVar(&r.root, "root", "..", "the checkout")
	flag.Parse()
	if err := r.run(); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release is one version while it is built.
type release struct {
	version   string // without v
	root, out string
	revision  string    // of the commit
	epoch     time.Time // of the commit
	work      string    // a temporary directory with an export of the commit for each architecture, and shared files
	modules   []licences.Module
	layers    map[[sha256.Size]byte]v1.Layer // by what they contain
}

var versions = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$`)

func (r *release) run() (err error) {
	r.version = strings.TrimPrefix(r.version, "v")
	if !versions.MatchString(r.version) {
		return fmt.Errorf("%q is not a version such as 1.2.0", r.version)
	}
	if r.out == "" {
		return errors.New("-out is missing")
	}
	if r.work, err = os.MkdirTemp("", "remora-release-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.work)
	for _, step := range []func() error{
		r.commit, r.prepare, r.build, r.archives, r.images, r.packages, r.materials, r.changelog, r.checksums, r.finish,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// commit finds which commit is checked out, and its time. SOURCE_DATE_EPOCH overrides the time, as it does elsewhere.
func (r *release) commit() (err error) {
	if changed, err := output(r.root, "git", "status", "--porcelain"); err != nil {
		return err
	} else if changed != "" {
		fmt.Fprintln(os.Stderr, "release: what is not committed will not be part of it")
	}
	if r.revision, err = output(r.root, "git", "rev-parse", "HEAD"); err != nil {
		return err
	}
	seconds := os.Getenv("SOURCE_DATE_EPOCH")
	if seconds == "" {
		if seconds, err = output(r.root, "git", "log", "-1", "--format=%ct", r.revision); err != nil {
			return err
		}
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("time of the commit: %w", err)
	}
	r.epoch = time.Unix(n, 0).UTC()
	return nil
}

// prepare empties the place where everything is put first, and collects what all architectures share.
func (r *release) prepare() (err error) {
	if err := errors.Join(os.RemoveAll(r.building()), os.MkdirAll(r.building(), 0o755), os.Mkdir(r.shared(), 0o755)); err != nil {
		return err
	}
	if err := r.certificates(); err != nil {
		return err
	}
	for _, arch := range licences.Platforms {
		if err := r.export(arch); err != nil {
			return err
		}
	}
	if r.modules, err = licences.Linked(r.source(licences.Platforms[0])); err != nil {
		return err
	}
	var text bytes.Buffer
	if err := licences.Write(&text, r.modules); err != nil {
		return err
	}
	own, err := os.ReadFile(filepath.Join(r.source(licences.Platforms[0]), "LICENSE"))
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(r.file("LICENSES.txt"), text.Bytes(), 0o644),
		// Debian's name for all terms of a package in one file.
		os.WriteFile(filepath.Join(r.shared(), "copyright"), append(append(own, '\n'), text.Bytes()...), 0o644))
}

// export writes the commit's files to a directory of their own, which is no repository: so nothing of the checkout that is not
// committed gets in, and builds find no version-control state.
func (r *release) export(arch string) error {
	cmd := exec.Command("git", "archive", "--format=tar", r.revision)
	cmd.Dir, cmd.Stderr = r.root, os.Stderr
	archive, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("git archive: %w", err)
	}
	return untar(bytes.NewReader(archive), r.source(arch))
}

// build lets the Makefile of the commit build the programs and put together what images and the plugin contain.
func (r *release) build() error {
	for _, arch := range licences.Platforms {
		cmd := exec.Command("make", "--no-print-directory", "build", "bin/plugin", "bin/image", "bin/image-node",
			"VERSION=v"+r.version, "CA_CERTIFICATES="+filepath.Join(r.shared(), "ca-certificates.crt"))
		cmd.Dir, cmd.Stdout, cmd.Stderr = r.source(arch), os.Stderr, os.Stderr
		// Levels and flags are named, so that those of the environment have no effect.
		cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=-buildvcs=false",
			"GOEXPERIMENT=", "GOFIPS140=off", "GOWORK=off", "MAKEFLAGS=", "PILOT_TYPE=")
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("make for %s: %w", arch, err)
		}
	}
	return nil
}

// finish puts the release where it was asked for, whole or not at all.
func (r *release) finish() error {
	return errors.Join(os.RemoveAll(r.out), os.Rename(r.building(), r.out))
}

func (r *release) building() string             { return r.out + ".building" }
func (r *release) file(name string) string      { return filepath.Join(r.building(), name) }
func (r *release) shared() string               { return filepath.Join(r.work, "shared") }
func (r *release) source(arch string) string    { return filepath.Join(r.work, arch) }
func (r *release) bin(arch, name string) string { return filepath.Join(r.source(arch), "bin", name) }

func output(dir string, command ...string) (string, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(command, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// untar writes an archive of git's, which holds directories, files and links, below dir.
func untar(archive io.Reader, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(strings.TrimSuffix(h.Name, "/"), 0o755)
		case tar.TypeSymlink:
			err = root.Symlink(h.Linkname, h.Name)
		case tar.TypeReg:
			var text []byte
			if text, err = io.ReadAll(r); err == nil {
				err = root.WriteFile(h.Name, text, h.FileInfo().Mode().Perm())
			}
		}
		if err != nil {
			return err
		}
	}
}
