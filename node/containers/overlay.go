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

// Overlay asks the kernel for the directories of the overlay that is the root of a process; none where its root is no
// overlay, or the process can't be looked at. procfs is where the machine's /proc is seen.
func Overlay(procfs string, process int) (upper string, lower []string) {
	f, err := os.Open(filepath.Join(procfs, strconv.Itoa(process), "mountinfo"))
	if err != nil {
		return "", nil
	}
	defer f.Close()
	return overlay(f)
}

// maxMountinfo bounds what is read of a process's mounts.
const maxMountinfo = 4 << 20

// overlay finds the root in mountinfo(5): fields, a dash, the file system's type, its source, its options.
func overlay(mountinfo io.Reader) (upper string, lower []string) {
	lines := bufio.NewScanner(io.LimitReader(mountinfo, maxMountinfo))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		mount, fs, ok := strings.Cut(lines.Text(), " - ")
		fields, options := strings.Fields(mount), strings.Fields(fs)
		if !ok || len(fields) < 5 || fields[4] != "/" || len(options) < 3 {
			continue
		}
		upper, lower = "", nil // of two mounts on one place, the last is seen
		if options[0] != "overlay" {
			continue
		}
		for option := range strings.SplitSeq(options[2], ",") {
			if value, ok := strings.CutPrefix(option, "upperdir="); ok {
				upper = unescape(value)
			}
			if value, ok := strings.CutPrefix(option, "lowerdir="); ok {
				for dir := range strings.SplitSeq(value, ":") {
					if dir = unescape(dir); filepath.IsAbs(dir) { // runtimes shorten what does not fit into a page
						lower = append(lower, dir)
					}
				}
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
