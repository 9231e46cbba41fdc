// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// memoryLimit is what the process may have, as a small node's agent or a Pod's sidecar has.
const memoryLimit = 256 << 20

// confine puts a process into a memory control group of its own. What it reaches beyond the limit ends in the kernel's
// killing it, which is what the tests want to see if it happens.
func confine(t *testing.T, pid int) {
	t.Helper()
	dir, limit := "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	if _, err := os.Stat(dir); err != nil {
		dir, limit = "/sys/fs/cgroup", "memory.max" // cgroup v2
	}
	group := filepath.Join(dir, fmt.Sprintf("remora-isolation-%d", pid))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatalf("a memory control group is needed: %v", err)
	}
	t.Cleanup(func() { _ = os.Remove(group) })
	write(t, filepath.Join(group, limit), strconv.Itoa(memoryLimit))
	write(t, filepath.Join(group, "cgroup.procs"), strconv.Itoa(pid))
}

// confinePlugin limits the control group that the engine has put a plugin's process into.
func confinePlugin(t *testing.T, pid int) {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(parts) == 3 && parts[1] == "memory":
			write(t, filepath.Join("/sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes"), strconv.Itoa(memoryLimit))
			return
		case len(parts) == 3 && parts[0] == "0" && parts[2] != "/":
			if path := filepath.Join("/sys/fs/cgroup", parts[2], "memory.max"); exists(path) {
				write(t, path, strconv.Itoa(memoryLimit))
				return
			}
		}
	}
	t.Fatalf("the plugin's process is in no memory control group of its own: %s", content)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func write(t *testing.T, path, value string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}
