// SPDX-License-Identifier: Apache-2.0

package find

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// maxHops bounds the symbolic links in one path.
	maxHops = 40
	// maxHandles bounds the directories that a tree keeps open within a pass.
	maxHandles = 64
)

// Tree gives access to the files below one directory of a writer. Names are relative to its base. It resolves links itself, one
// name at a time, and never follows one out of the mounts of its Root, even if directories change meanwhile.
//
// A Tree is not safe for concurrent use. It keeps directories open only until Release.
type Tree struct {
	base     string
	hostPath string // the base's path on this host; "" if there is none
	mounts   []mount
	pass     int
	open     map[string]*dir     // by requested path
	listings map[string]*listing // by name
}

// Base returns the directory's path as the writer knows it.
func (t *Tree) Base() string { return t.base }

// Path returns the writer's path of a name.
func (t *Tree) Path(rel string) string { return path.Join(t.base, rel) }

// Begin begins a pass, in which each directory is read at most once. Its error concerns the base directory, and is os.ErrNotExist
// if that is missing.
func (t *Tree) Begin() error {
	t.Release()
	t.pass++
	for rel, l := range t.listings {
		if l.pass < t.pass-keepListings {
			delete(t.listings, rel)
		}
	}
	_, err := t.dir(t.base, 0)
	return err
}

// SameBase reports whether the path of the base still leads to the directory that the last pass has read. A directory in its path
// may be renamed, or a file system mounted over it, without an event in the base itself.
func (t *Tree) SameBase() bool {
	l := t.listings["."]
	if l == nil || t.hostPath == "" {
		return false
	}
	var s unix.Stat_t
	return unix.Stat(t.hostPath, &s) == nil && l.id == Inode{s.Dev, s.Ino}
}

// Release closes all open directories.
func (t *Tree) Release() {
	for _, d := range t.open {
		d.close() // one with two names is closed twice, which does no harm
	}
	clear(t.open)
}

// trim bounds the number of open directories. It must be called only while none is in use.
func (t *Tree) trim() {
	if len(t.open) > maxHandles {
		t.Release()
	}
}

// Covers reports whether p, a path of the writer, lies below the base.
func (t *Tree) Covers(p string) bool { return p != t.base && within(p, t.base) }

// Rel returns the name of p, a path of the writer that the tree covers.
func (t *Tree) Rel(p string) string { return strings.TrimPrefix(strings.TrimPrefix(p, t.base), "/") }

// DeviceAt returns the device of the directory that holds p, a path of the writer.
func (t *Tree) DeviceAt(p string) (uint64, error) {
	t.trim()
	d, err := t.dir(path.Dir(p), 0)
	if err != nil {
		return 0, err
	}
	s, err := d.stat()
	return s.Dev, err
}

// Lstat returns the Stat of a name without following a link in its last element.
func (t *Tree) Lstat(rel string) (Stat, error) {
	t.trim()
	return t.lstat(t.Path(rel), 0)
}

func (t *Tree) lstat(p string, hops int) (Stat, error) {
	d, err := t.dir(path.Dir(p), hops)
	if err != nil {
		return Stat{}, err
	}
	return d.lstat(path.Base(p))
}

// Stat returns the Stat of a name and follows links.
func (t *Tree) Stat(rel string) (Stat, error) {
	t.trim()
	p := t.Path(rel)
	for hops := range maxHops {
		s, err := t.lstat(p, hops)
		if err != nil || !s.Symlink() {
			return s, err
		}
		if p, err = t.target(p, hops); err != nil {
			return Stat{}, err
		}
	}
	return Stat{}, &Refused{"it leads through too many links"}
}

// Open opens a file for reading and follows links. It does not block, not even for a FIFO, and fails with Refused if the file is
// not regular or lies outside.
func (t *Tree) Open(rel string) (*os.File, Stat, error) {
	t.trim()
	p := t.Path(rel)
	for hops := range maxHops {
		f, err := t.openFile(p, hops)
		if err == nil {
			return regular(f)
		}
		if !errors.Is(err, unix.ELOOP) {
			return nil, Stat{}, err
		}
		if p, err = t.target(p, hops); err != nil {
			return nil, Stat{}, err
		}
	}
	return nil, Stat{}, &Refused{"it leads through too many links"}
}

func regular(f *os.File) (*os.File, Stat, error) {
	s, err := StatFile(f)
	if err == nil && !s.Regular() {
		err = &Refused{"it is " + s.Kind()}
	}
	if err != nil {
		return nil, Stat{}, errors.Join(err, f.Close())
	}
	return f, s, nil
}

func (t *Tree) openFile(p string, hops int) (*os.File, error) {
	d, err := t.dir(path.Dir(p), hops)
	if err != nil {
		return nil, err
	}
	s, layer, err := d.find(path.Base(p))
	if err != nil {
		return nil, err
	}
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := openAt(int(layer.Fd()), path.Base(p), flags)
	if errors.Is(err, unix.ENXIO) { // open(2): a socket, or a device without a driver
		return nil, &Refused{"it is " + s.Kind()}
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: p, Err: err}
	}
	return os.NewFile(uintptr(fd), p), nil
}

// Remove deletes a name. In an overlay it deletes it only in the uppermost layer of its directory.
func (t *Tree) Remove(rel string) error {
	t.trim()
	p := t.Path(rel)
	d, err := t.dir(path.Dir(p), 0)
	if err != nil {
		return err
	}
	if err := unix.Unlinkat(int(d.layers[0].Fd()), path.Base(p), 0); err != nil {
		return &os.PathError{Op: "remove", Path: p, Err: err}
	}
	return nil
}

// target returns the path that the link at p leads to.
func (t *Tree) target(p string, hops int) (string, error) {
	d, err := t.dir(path.Dir(p), hops)
	if err != nil {
		return "", err
	}
	target, err := d.readlink(path.Base(p))
	if err != nil {
		return "", err
	}
	if standardOutput[target] {
		return "", &Refused{"it is the container's own output: declare stdout"}
	}
	if !t.covers(target) {
		return "", t.outside()
	}
	return target, nil
}

// standardOutput holds names that images link their log files to, such as nginx's.
var standardOutput = map[string]bool{"/dev/stdout": true, "/dev/stderr": true, "/dev/fd/1": true, "/dev/fd/2": true,
	"/proc/self/fd/1": true, "/proc/self/fd/2": true, "/proc/1/fd/1": true, "/proc/1/fd/2": true}

func (t *Tree) outside() error { return &Refused{"it leads out of " + t.base} }

// covers reports whether p lies in one of the mounts.
func (t *Tree) covers(p string) bool {
	return slices.ContainsFunc(t.mounts, func(m mount) bool { return within(p, m.at) })
}

// within reports whether p is at or lies below at.
func within(p, at string) bool {
	rest, ok := strings.CutPrefix(p, at)
	return ok && (rest == "" || at == "/" || rest[0] == '/')
}

// dir opens the directory at p, a path of the writer, and follows links. The directory stays open until Release.
func (t *Tree) dir(p string, hops int) (*dir, error) {
	if d := t.open[p]; d != nil {
		return d, nil
	}
	d, err := t.openDir(p, hops)
	if err != nil {
		return nil, err
	}
	t.open[p] = d
	return d, nil
}

func (t *Tree) openDir(p string, hops int) (*dir, error) {
	if hops > maxHops {
		return nil, &Refused{"it leads through too many links"}
	}
	if i := slices.IndexFunc(t.mounts, func(m mount) bool { return m.at == p }); i >= 0 {
		return openMount(t.mounts[i])
	}
	if !t.covers(p) {
		return nil, t.outside()
	}
	parent, err := t.dir(path.Dir(p), hops)
	if err != nil {
		return nil, err
	}
	name := path.Base(p)
	if real := path.Join(parent.at, name); real != p && slices.ContainsFunc(t.mounts, func(m mount) bool { return m.at == real }) {
		return t.dir(real, hops+1)
	}
	d, err := parent.sub(name)
	if err == nil {
		return d, nil
	}
	if s, statErr := parent.lstat(name); statErr == nil && s.Symlink() {
		target, err := parent.readlink(name)
		if err != nil {
			return nil, err
		}
		return t.dir(target, hops+1)
	}
	return nil, fmt.Errorf("open directory %s: %w", p, err)
}
