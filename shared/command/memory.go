// SPDX-License-Identifier: Apache-2.0

package command

import (
	"log/slog"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// gcPercent is how much garbage may gather, in percent of what is in use, before it is collected; Go's default is 100.
// Batches are used again and records cost no allocation, so that there is little to collect, and the memory is better
// left to the applications.
const gcPercent = 50

// tuneMemory sets the garbage collector for a process that is a guest on its machine, and makes it respect the cgroup's
// limit, a tenth of which is left to what it does not see. What GOGC and GOMEMLIMIT say has been obeyed by the runtime
// already and stands.
func tuneMemory(environ map[string]string, log *slog.Logger) {
	if environ["GOGC"] == "" {
		debug.SetGCPercent(gcPercent)
	}
	if environ["GOMEMLIMIT"] != "" {
		return
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return
	}
	if limit := cgroupLimit(string(groups), os.ReadFile); limit < math.MaxInt64 {
		debug.SetMemoryLimit(limit - limit/10)
		log.Debug("memory is limited", "cgroup", limit)
	}
}

// cgroupLimit is the least memory limit of the process's cgroup and those above it, math.MaxInt64 where there is none.
// groups is /proc/self/cgroup: lines of number:controllers:path (cgroups(7)), with no controllers for version 2.
func cgroupLimit(groups string, read func(string) ([]byte, error)) int64 {
	least := int64(math.MaxInt64)
	for line := range strings.Lines(groups) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		root, file := "/sys/fs/cgroup", "memory.max"
		if parts[1] != "" {
			if !strings.Contains(","+parts[1]+",", ",memory,") {
				continue
			}
			root, file = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		// Inside of a container the path may be the host's, while what is mounted begins at the container's own group:
		// going up ends there.
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			if text, err := read(path.Join(root, dir, file)); err == nil {
				if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
					least = min(least, n)
				}
			}
			if dir == "/" {
				break
			}
		}
	}
	if least > math.MaxInt64/2 { // version 1 writes "unlimited" as the largest multiple of a page
		return math.MaxInt64
	}
	return least
}
