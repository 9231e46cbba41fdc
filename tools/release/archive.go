// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/remora-logs/remora/tools/release/licences"
)

// A tree is what an archive holds, by path without a leading slash. Directories above are made as they are needed.
type tree map[string]entry

// An entry is a file, directory or symbolic link: read from the path on disk, when the archive is written.
type entry struct {
	source   string // empty is a directory of root's
	uid, gid int
}

// add puts a file, or a directory with all that is in it, at a path.
func (t tree) add(source, at string, uid, gid int) error {
	return filepath.WalkDir(source, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(source, name)
		if err != nil {
			return err
		}
		if at := path.Join(at, filepath.ToSlash(below)); at != "." {
			t[at] = entry{source: name, uid: uid, gid: gid}
		}
		return nil
	})
}

// tar writes the archive. Its bytes depend on names, contents, whether a file is executable, owners, and the time given.
func (t tree) tar(when time.Time) ([]byte, error) {
	all := maps.Clone(t)
	for at := range t {
		for at = path.Dir(at); at != "."; at = path.Dir(at) {
			if _, ok := all[at]; !ok {
				all[at] = entry{}
			}
		}
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, at := range slices.Sorted(maps.Keys(all)) {
		if err := all[at].write(w, at, when); err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (e entry) write(w *tar.Writer, at string, when time.Time) error {
	h := &tar.Header{Name: at + "/", Typeflag: tar.TypeDir, Mode: 0o755, Uid: e.uid, Gid: e.gid, ModTime: when, Format: tar.FormatPAX}
	if e.source == "" {
		return w.WriteHeader(h)
	}
	info, err := os.Lstat(e.source)
	if err != nil {
		return err
	}
	var text []byte
	switch mode := info.Mode(); {
	case mode.IsDir():
	case mode.IsRegular():
		if text, err = os.ReadFile(e.source); err != nil {
			return err
		}
		h.Name, h.Typeflag, h.Size = at, tar.TypeReg, int64(len(text))
		if mode&0o111 == 0 {
			h.Mode = 0o644
		}
	case mode.Type() == fs.ModeSymlink:
		if h.Linkname, err = os.Readlink(e.source); err != nil {
			return err
		}
		h.Name, h.Typeflag, h.Mode = at, tar.TypeSymlink, 0o777
	default:
		return fmt.Errorf("neither a file, a directory nor a link: %s", mode)
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// writeTarGz writes the archive compressed.
func (t tree) writeTarGz(file string, when time.Time) error {
	text, err := t.tar(when)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// archives writes the programs, and the plugin as `docker plugin create` takes it, for each architecture.
func (r *release) archives() error {
	for _, arch := range licences.Platforms {
		programs, name := make(tree), fmt.Sprintf("remora-%s-linux-%s", r.version, arch)
		for _, program := range []string{"driver", "sidecar", "node", "logger"} {
			programs[path.Join(name, "remora-"+program)] = entry{source: r.bin(arch, "remora-"+program)}
		}
		programs[path.Join(name, "LICENSE")] = entry{source: filepath.Join(r.source(arch), "LICENSE")}
		programs[path.Join(name, "LICENSES.txt")] = entry{source: r.file("LICENSES.txt")}
		if err := programs.writeTarGz(r.file(name+".tar.gz"), r.epoch); err != nil {
			return err
		}
		plugin := make(tree)
		if err := plugin.add(r.bin(arch, "plugin"), ".", 0, 0); err != nil {
			return err
		}
		name = strings.Replace(name, "remora-", "remora-plugin-", 1)
		if err := plugin.writeTarGz(r.file(name+".tar.gz"), r.epoch); err != nil {
			return err
		}
	}
	return nil
}
