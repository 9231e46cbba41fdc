// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Overlay returns the directories of the overlay that is a container's root, as the kernel lists them. If this process sees
// the runtime's mount of the overlay, no privilege is needed; otherwise Overlay reads the mounts of the container's first
// process, which needs the permission to trace it. procfs is where the host's /proc is mounted. The result is empty if there
// is no overlay, or if neither list can be read.
func Overlay(procfs, id string, process int) (upper string, lower []string) {
	upper, lower = overlayIn("/proc/self/mountinfo", func(at string) bool { return holds(at, id) })
	if upper == "" && process > 0 {
		upper, lower = overlayIn(filepath.Join(procfs, strconv.Itoa(process), "mountinfo"), func(at string) bool { return at == "/" })
	}
	return upper, lower
}

// holds reports whether a container's ID is an element of a path: /run/containerd/…/ID/rootfs.
func holds(path, id string) bool {
	i := strings.Index(path, "/"+id)
	return id != "" && i >= 0 && (i+1+len(id) == len(path) || path[i+1+len(id)] == '/')
}

func overlayIn(mountinfo string, wanted func(at string) bool) (upper string, lower []string) {
	f, err := os.Open(mountinfo)
	if err != nil {
		return "", nil
	}
	defer f.Close()
	return overlay(f, wanted)
}

// maxMountinfo bounds how many bytes of a process's mountinfo are read.
const maxMountinfo = 4 << 20

// overlay finds the overlay at a wanted mount point in mountinfo(5). A line holds fields, a dash, and then the file system's
// type, source and options.
func overlay(mountinfo io.Reader, wanted func(at string) bool) (upper string, lower []string) {
	lines := bufio.NewScanner(io.LimitReader(mountinfo, maxMountinfo))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		mount, fs, ok := strings.Cut(lines.Text(), " - ")
		fields, options := strings.Fields(mount), strings.Fields(fs)
		if !ok || len(fields) < 5 || len(options) < 3 || !wanted(unescape(fields[4])) {
			continue
		}
		upper, lower = "", nil // of two mounts at one place, the last is visible
		if options[0] == "overlay" {
			upper, lower = Layers(strings.Split(options[2], ","))
		}
	}
	return upper, lower
}

// Layers returns the directories in the mount options of an overlay.
func Layers(options []string) (upper string, lower []string) {
	for _, option := range options {
		if value, ok := strings.CutPrefix(option, "upperdir="); ok {
			upper = unescape(value)
		}
		value, ok := strings.CutPrefix(option, "lowerdir=")
		if !ok {
			continue
		}
		for dir := range strings.SplitSeq(value, ":") {
			if dir = unescape(dir); filepath.IsAbs(dir) { // runtimes use relative paths if the options exceed a page
				lower = append(lower, dir)
			}
		}
	}
	return upper, lower
}

// unescape decodes the octal escapes \ooo that the kernel writes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
