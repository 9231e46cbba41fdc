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

// Overlay asks the kernel for the directories of the overlay that is the root of a container. Where this process sees the
// runtime's own mount of it, that takes no rights; else the mounts of the container's first process are asked for, which
// takes those to trace it. procfs is where the machine's /proc is seen. The answer is empty where there is no overlay, or
// neither can be seen.
func Overlay(procfs, id string, process int) (upper string, lower []string) {
	upper, lower = overlayIn("/proc/self/mountinfo", func(at string) bool { return holds(at, id) })
	if upper == "" && process > 0 {
		upper, lower = overlayIn(filepath.Join(procfs, strconv.Itoa(process), "mountinfo"), func(at string) bool { return at == "/" })
	}
	return upper, lower
}

// holds reports whether a container's ID is one of the names in a path: /run/containerd/…/ID/rootfs.
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

// maxMountinfo bounds what is read of a process's mounts.
const maxMountinfo = 4 << 20

// overlay finds the overlay at a wanted place in mountinfo(5): fields, a dash, the file system's type, its source, its
// options.
func overlay(mountinfo io.Reader, wanted func(at string) bool) (upper string, lower []string) {
	lines := bufio.NewScanner(io.LimitReader(mountinfo, maxMountinfo))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		mount, fs, ok := strings.Cut(lines.Text(), " - ")
		fields, options := strings.Fields(mount), strings.Fields(fs)
		if !ok || len(fields) < 5 || len(options) < 3 || !wanted(unescape(fields[4])) {
			continue
		}
		upper, lower = "", nil // of two mounts on one place, the last is seen
		if options[0] == "overlay" {
			upper, lower = Layers(strings.Split(options[2], ","))
		}
	}
	return upper, lower
}

// Layers reads the directories in the options of an overlay.
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
			if dir = unescape(dir); filepath.IsAbs(dir) { // runtimes shorten what does not fit into a page
				lower = append(lower, dir)
			}
		}
	}
	return upper, lower
}

// unescape decodes what the kernel writes as \ooo.
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
