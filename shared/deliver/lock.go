// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// lockHolder names the process that holds a lock on the file, as far as it can be seen from here: one in another PID
// namespace, such as another container that mounts the same volume, has no number.
func lockHolder(path string) string {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err == nil {
		if locks, err := os.ReadFile("/proc/locks"); err == nil {
			if pid := holder(string(locks), st.Dev, st.Ino); pid > 0 {
				return fmt.Sprintf("process %d", pid)
			}
		}
	}
	return "another process"
}

// holder finds in /proc/locks (proc_locks(5)) the process that has locked the file; 0 if it is not there, or not visible.
func holder(locks string, device, inode uint64) (pid int) {
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(device), unix.Minor(device), inode)
	for line := range strings.Lines(locks) {
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[1] == "->" || fields[5] != file {
			continue
		}
		if _, err := fmt.Sscan(fields[4], &pid); err == nil && pid > 0 {
			return pid
		}
	}
	return 0
}
