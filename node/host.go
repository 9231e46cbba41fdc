// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
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
		return host{strings.TrimSuffix(filepath.Clean(root), "/")}, nil
	}
	for _, name := range []string{"proc", "var"} {
		if info, err := os.Stat(filepath.Join("/host", name)); err == nil && info.IsDir() {
			return host{"/host"}, nil
		}
	}
	return host{}, nil
}

// see returns where the agent sees a path of the host. Links on the way lead where they lead on the host, never out of
// its root.
func (h host) see(path string) string {
	plain := filepath.Join("/", h.root, path)
	if h.root == "" {
		return plain
	}
	root, err := unix.Open(h.root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return plain
	}
	defer unix.Close(root)
	// Where the path does not exist yet, its existing part is resolved, and a link at the end of that is followed.
	dir, rest := filepath.Clean("/"+path), ""
	for range maxLinks {
		fd, err := openIn(root, dir, 0)
		switch {
		case err == nil:
			seen, err := nameOf(fd)
			if err != nil || seen != h.root && !strings.HasPrefix(seen, h.root+"/") {
				return plain
			}
			return filepath.Join(seen, rest)
		case !errors.Is(err, unix.ENOENT) || dir == "/": // a kernel before 5.6 does not know the call
			return plain
		}
		if target, ok := danglingLink(root, dir); ok {
			dir = target
		} else {
			dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest)
		}
	}
	return plain
}

// maxLinks bounds how many missing directories and links are gone through.
const maxLinks = 256

// openIn opens a path below root as a process would whose root that is.
func openIn(root int, path string, flags uint64) (int, error) {
	return unix.Openat2(root, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | flags, Resolve: unix.RESOLVE_IN_ROOT})
}

// nameOf returns the path of an open file, and closes it.
func nameOf(fd int) (string, error) {
	defer unix.Close(fd)
	return os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
}

// danglingLink returns where the link at path leads, if it is one.
func danglingLink(root int, path string) (target string, ok bool) {
	fd, err := openIn(root, path, unix.O_NOFOLLOW)
	if err != nil {
		return "", false
	}
	defer unix.Close(fd)
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return "", false
	}
	if target = string(buf[:n]); !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(path), target)
	}
	return filepath.Clean("/" + target), true
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
