// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// host is the host's file system as the agent sees it. root is where the host's root is mounted, or empty if it is the agent's
// own root.
type host struct{ root string }

// findHost returns the host whose root is mounted at root. If root is empty, it uses /host if the host's root is mounted there.
func findHost(root string) (host, error) {
	if root != "" {
		if _, err := os.Stat(root); err != nil {
			return host{}, errors.New("REMORA_HOST_ROOT: " + err.Error() + "; mount the host's root there: {name: host, mountPath: " + root +
				", readOnly: true, mountPropagation: HostToContainer}")
		}
		if plain, err := filepath.EvalSymlinks(root); err == nil { // so that resolve returns a path without links
			root = plain
		}
		return host{strings.TrimSuffix(filepath.Clean(root), "/")}, nil
	}
	for _, name := range []string{"proc", "var"} {
		if info, err := os.Stat(filepath.Join("/host", name)); err == nil && info.IsDir() {
			return host{"/host"}, nil
		}
	}
	return host{}, nil
}

// see returns where the agent sees a path of the host that only the host's administrator can change. Links on the way are
// resolved as on the host and never lead out of its root.
func (h host) see(path string) string {
	seen, _ := h.resolve(path)
	return seen
}

// link is a symbolic link that resolve has followed.
type link struct {
	at, target string // paths of the host; the way to at holds no other link
	loose      bool   // users other than root can create links in its directory
}

// resolve returns where the agent sees a path of the host, as a path without links, and the links that it has followed. A
// component that does not exist is left as it is.
func (h host) resolve(path string) (seen string, links []link) {
	path = filepath.Clean("/" + path)
	for range maxLinks {
		l, ok := h.firstLink(path)
		if !ok {
			break
		}
		links = append(links, l)
		path = filepath.Join(l.target, strings.TrimPrefix(path, l.at))
	}
	return filepath.Join("/", h.root, path), links
}

// maxLinks bounds the links of one path, as in the kernel. A path with more still holds links, which its reader refuses.
const maxLinks = 40

// firstLink returns the first link on a path. It opens each component relative to the directory before, so that a concurrent
// change cannot lead it elsewhere.
func (h host) firstLink(path string) (l link, ok bool) {
	const flags = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC
	dir, err := unix.Open(filepath.Join("/", h.root), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return link{}, false
	}
	defer func() { unix.Close(dir) }()
	at := "/"
	for name := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		fd, err := unix.Openat(dir, name, flags, 0)
		if err != nil {
			return link{}, false
		}
		parent := dir
		dir, at = fd, filepath.Join(at, name)
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(fd, "", buf)
		if err != nil { // not a link
			unix.Close(parent)
			continue
		}
		var s unix.Stat_t
		err = unix.Fstat(parent, &s)
		unix.Close(parent)
		target := string(buf[:n])
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(at), target)
		}
		return link{at, filepath.Clean("/" + target), err != nil || s.Uid != 0 || s.Mode&0o022 != 0}, true
	}
	return link{}, false
}

// path returns the host's own path of a path that see has returned.
func (h host) path(seen string) string {
	if rest, ok := strings.CutPrefix(seen, h.root+"/"); ok && h.root != "" {
		return "/" + rest
	}
	return seen
}

// proc returns where the host's /proc is mounted.
func (h host) proc() string { return filepath.Join("/", h.root, "proc") }

// hidesNewMounts reports whether what the host mounts from now on, such as volumes of new Pods, is invisible below root.
func (h host) hidesNewMounts() bool {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	return err == nil && h.root != "" && !follows(string(mounts), h.root)
}

// follows reports whether, in mountinfo(5), the mount at a path receives the mounts of another one (master or shared).
func follows(mountinfo, at string) bool {
	found := true // if there is no mount at the path itself, nothing is known to be hidden
	for line := range strings.Lines(mountinfo) {
		mount, _, _ := strings.Cut(line, " - ")
		fields := strings.Fields(mount)
		if len(fields) >= 6 && fields[4] == at {
			found = false
			for _, tag := range fields[6:] {
				found = found || strings.HasPrefix(tag, "master:") || strings.HasPrefix(tag, "shared:")
			}
		}
	}
	return found
}
