// SPDX-License-Identifier: Apache-2.0

// Package find looks up the files that patterns select, in the paths that their writer knows. It only knows names, directories
// and inodes, not what a file holds or what was read of it.
package find

import (
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Root maps the paths that a writer knows to directories of this host. It holds no resources.
type Root struct {
	// mounts are sorted by the length of their paths, the longest first.
	mounts []mount
	// host means that the writer's paths are this host's, and that each Tree is confined to its base.
	host bool
}

// mount is a directory that the writer sees at a path: one directory of this host, or the layers of an overlay, the
// uppermost first.
type mount struct {
	at     string
	layers []string
	host   bool // links in the path are followed
}

// Host returns the root of a writer whose paths are this host's, as with volumes that a Pod's containers share. A link that leads
// out of the directory that a pattern begins with is refused.
func Host() Root { return Root{host: true} }

// Directory returns the root of a writer whose files all lie below dir, a path without links. Nothing outside of dir is found.
func Directory(dir string) Root {
	dir = path.Clean(dir)
	return Root{mounts: []mount{{at: dir, layers: []string{dir}}}}
}

// Container returns the root of a container: the layers of its overlay, upper first and lower from top to bottom, and its mounts,
// which are directories of this host by their paths in the container. No path of this host may hold a link. A path belongs to the
// mount with the longest path that contains it. Links are resolved as the container resolves them, never outside of it. Without
// upper and lower only the mounts can be searched.
func Container(upper string, lower []string, mounts map[string]string) Root {
	var r Root
	for at, dir := range mounts {
		r.mounts = append(r.mounts, mount{at: path.Clean("/" + at), layers: []string{dir}})
	}
	layers := slices.Clone(lower)
	if upper != "" {
		layers = slices.Insert(layers, 0, upper)
	}
	if len(layers) > 0 {
		r.mounts = append(r.mounts, mount{at: "/", layers: layers})
	}
	slices.SortFunc(r.mounts, func(a, b mount) int { return len(b.at) - len(a.at) })
	return r
}

// HostPath returns where p, a path of the writer, lies on this host, not counting links; "" if it is in no mount.
func (r Root) HostPath(p string) string {
	if r.host {
		return p
	}
	for _, m := range r.mounts {
		if within(p, m.at) {
			return path.Join(m.layers[0], strings.TrimPrefix(p, m.at))
		}
	}
	return ""
}

// Equal reports whether the two roots map paths to the same directories.
func (r Root) Equal(o Root) bool {
	return r.host == o.host && slices.EqualFunc(r.mounts, o.mounts, func(a, b mount) bool {
		return a.at == b.at && slices.Equal(a.layers, b.layers)
	})
}

// Tree returns the tree below base, a clean absolute path as the writer knows it.
func (r Root) Tree(base string) *Tree {
	t := &Tree{base: base, mounts: r.mounts, listings: map[string]*listing{}, open: map[string]*dir{}}
	if p := r.HostPath(base); !processPath.MatchString(p) {
		t.hostPath = p
	}
	if r.host {
		t.mounts = []mount{{base, []string{base}, true}}
	}
	return t
}

// Refused is the error for a path that is selected but not read: it leads out of the tree, or is not a regular file.
type Refused struct{ Why string }

func (e *Refused) Error() string { return e.Why }

// dir is an open directory, with a handle for each layer that has it, the uppermost first.
type dir struct {
	at     string // its path without links, as the writer knows it
	layers []*os.File
	deep   bool // it is part of an overlay, so names may be whited out
	upper  bool // the first of layers is the mount's uppermost one, in which all changes are made
}

func (d *dir) close() {
	for _, f := range d.layers {
		_ = f.Close() // opened for reading
	}
}

// stat returns the Stat of the directory itself, in its uppermost layer: the lower ones never change.
func (d *dir) stat() (Stat, error) { return StatFile(d.layers[0]) }

// lstat returns the Stat of a name in the directory and does not follow links.
func (d *dir) lstat(name string) (Stat, error) {
	s, _, err := d.find(name)
	return s, err
}

// find returns the Stat of name in the uppermost layer that has it, and that layer.
func (d *dir) find(name string) (Stat, *os.File, error) {
	for _, layer := range d.layers {
		s, err := statAt(int(layer.Fd()), name)
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue
		case err == nil && d.deep && s.whiteout():
			return Stat{}, nil, os.ErrNotExist
		}
		return s, layer, err
	}
	return Stat{}, nil, os.ErrNotExist
}

const dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC

// sub opens the directory name in d. It returns unix.ENOTDIR for anything else, including a link.
func (d *dir) sub(name string) (*dir, error) {
	n := &dir{at: path.Join(d.at, name), deep: d.deep}
	for i, layer := range d.layers {
		fd, err := openAt(int(layer.Fd()), name, dirFlags)
		switch {
		case err == nil:
		case errors.Is(err, os.ErrNotExist):
			continue
		case len(n.layers) > 0: // the directory above hides a file of a lower layer
			return n, nil
		default: // a link, a whiteout, a file
			if s, statErr := statAt(int(layer.Fd()), name); statErr == nil && d.deep && s.whiteout() {
				return nil, os.ErrNotExist
			}
			return nil, err
		}
		n.upper = n.upper || i == 0 && d.upper
		n.layers = append(n.layers, os.NewFile(uintptr(fd), name))
		if d.deep && opaque(fd) {
			return n, nil
		}
	}
	if len(n.layers) == 0 {
		return nil, os.ErrNotExist
	}
	return n, nil
}

// opaque reports whether a directory hides those of the same path in lower layers. Without CAP_SYS_ADMIN the kernel does not
// tell, and files of the image may be found that the container does not see.
func opaque(fd int) bool {
	var value [1]byte
	for _, name := range [...]string{"trusted.overlay.opaque", "user.overlay.opaque"} {
		if n, err := unix.Fgetxattr(fd, name, value[:]); err == nil && n == 1 && value[0] == 'y' {
			return true
		}
	}
	return false
}

// readlink returns the target of the link name as a path of the writer.
func (d *dir) readlink(name string) (string, error) {
	_, layer, err := d.find(name)
	if err != nil {
		return "", err
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(layer.Fd()), name, buf)
	if err != nil {
		return "", fmt.Errorf("readlink: %w", err)
	}
	target := string(buf[:n])
	if !path.IsAbs(target) {
		target = path.Join(d.at, target)
	}
	return path.Clean(target), nil
}

func openAt(dirfd int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dirfd, name, flags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// openMount opens the directories of a mount. It skips missing layers, and returns os.ErrNotExist if all are missing.
func openMount(m mount) (*dir, error) {
	d := &dir{at: m.at, deep: len(m.layers) > 1 || m.at == "/"}
	var missing error
	for i, layer := range m.layers {
		open := openBase
		if m.host {
			open = openHost
		}
		f, err := open(layer)
		if errors.Is(err, os.ErrNotExist) {
			missing = err
			continue
		}
		if err != nil {
			d.close()
			return nil, err
		}
		d.upper = d.upper || i == 0
		d.layers = append(d.layers, f)
		if d.deep && opaque(int(f.Fd())) {
			break
		}
	}
	if len(d.layers) == 0 {
		return nil, missing
	}
	return d, nil
}

// processPath matches a path that begins with a descriptor of this process, which is the root of a container's process. Links
// below it are relative to that root.
var processPath = regexp.MustCompile(`^(/proc/self/fd/\d+)(?:/(.*))?$`)

// openBase opens a directory of this host without following links, because a writer of a volume could have put one there since
// the path was resolved. Below a processPath it follows links within that root.
func openBase(base string) (*os.File, error) {
	if m := processPath.FindStringSubmatch(base); m != nil {
		outer, err := os.OpenRoot(m[1])
		if err != nil {
			return nil, err
		}
		defer outer.Close()
		return outer.OpenFile(path.Join(".", m[2]), unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	}
	f, err := openPlain(base)
	switch {
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return nil, fmt.Errorf("%s is not a directory, or a link leads there", base)
	case err != nil:
		return nil, &os.PathError{Op: "open", Path: base, Err: err}
	}
	return f, nil
}

// openPlain opens a directory whose path holds no link, one name after the other. Kernels before 5.6 provide no other way.
func openPlain(base string) (*os.File, error) {
	fd, err := openAt(unix.AT_FDCWD, "/", dirFlags)
	for name := range strings.SplitSeq(strings.Trim(path.Clean(base), "/"), "/") {
		if err != nil {
			return nil, err
		}
		if name == "" { // base is "/"
			break
		}
		outer := fd
		fd, err = openAt(outer, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY|unix.O_CLOEXEC)
		unix.Close(outer)
	}
	if err != nil {
		return nil, err
	}
	outer := fd
	defer unix.Close(outer)
	if fd, err = openAt(outer, ".", dirFlags); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), base), nil
}

// openHost opens a directory of this host by a path of the writer. If it lies in a mounted volume, links in its path below the
// mount point must stay in that volume, because a writer of the volume could have made them.
func openHost(base string) (*os.File, error) {
	mountPoint := mountOf(base)
	if mountPoint == "/" || mountPoint == base {
		return openDirectory(base)
	}
	outer, err := os.OpenRoot(mountPoint)
	if err != nil {
		return nil, err
	}
	defer outer.Close()
	return outer.OpenFile(strings.TrimPrefix(base, mountPoint+"/"), unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
}

func openDirectory(base string) (*os.File, error) {
	f, err := os.OpenFile(base, unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENOTDIR) {
		return nil, fmt.Errorf("%s is not a directory", base)
	}
	return f, err
}
