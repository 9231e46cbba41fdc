// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// host is the machine as the agent sees it: its root is mounted somewhere, or is the agent's own.
type host struct{ root string } // empty where it is the agent's own

// findHost returns the host whose root is at root; where that is empty, at /host if the host's root is mounted there.
func findHost(root string) (host, error) {
	if root != "" {
		if _, err := os.Stat(root); err != nil {
			return host{}, errors.New("REMORA_HOST_ROOT: " + err.Error() + "; mount the host's root there: {name: host, mountPath: " + root +
				", readOnly: true, mountPropagation: HostToContainer}")
		}
		if plain, err := filepath.EvalSymlinks(root); err == nil { // no link is followed later
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

// see returns where the agent sees a path of the host that nobody but the host's administrator can change. Links on the way
// lead where they lead on the host, never out of its root.
func (h host) see(path string) string {
	seen, _ := h.resolve(path)
	return seen
}

// link is one that resolve has followed.
type link struct {
	at, target string // paths of the host; no other link is on the way to at
	loose      bool   // others than root can make links where it is
}

// resolve returns where the agent sees a path of the host, as a path that holds no link, and the links that it has followed.
// What does not exist yet is taken to be no link.
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

// maxLinks bounds the links of one path. What is left then is refused by who opens it.
const maxLinks = 40

// firstLink returns the first link on a path. It opens each directory by its name in the one before, so that nobody leads it
// elsewhere meanwhile.
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
		if err != nil { // it is no link
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

// path turns what see returned into the host's own path.
func (h host) path(seen string) string {
	if rest, ok := strings.CutPrefix(seen, h.root+"/"); ok && h.root != "" {
		return "/" + rest
	}
	return seen
}

// proc is where the host's processes are seen.
func (h host) proc() string { return filepath.Join("/", h.root, "proc") }

// hidesNewMounts reports whether what the host mounts from now on is not seen below its root: volumes of Pods that are
// started later.
func (h host) hidesNewMounts() bool {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	return err == nil && h.root != "" && !follows(string(mounts), h.root)
}

// follows reports whether, in mountinfo(5), the mount at a path follows another, or shares with it.
func follows(mountinfo, at string) bool {
	found := true // no mount of its own: what is below it is
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
