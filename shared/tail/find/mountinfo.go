// SPDX-License-Identifier: Apache-2.0

package find

import (
	"bufio"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// mountsLast is how long mount points are cached: a node has thousands.
const mountsLast = 5 * time.Second

// mountPoints caches the mount points of this process.
var mountPoints struct {
	sync.Mutex
	read time.Time
	all  map[string]bool
}

// mountOf returns the mount point that p, a clean absolute path, lies in; "/" if it is unknown.
func mountOf(p string) string {
	mountPoints.Lock()
	defer mountPoints.Unlock()
	if age := time.Since(mountPoints.read); mountPoints.all == nil || age >= mountsLast || age < 0 {
		mountPoints.all, mountPoints.read = readMounts(), time.Now()
	}
	for p != "/" && p != "." && !mountPoints.all[p] {
		p = path.Dir(p)
	}
	return p
}

func readMounts() map[string]bool {
	all := map[string]bool{}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return all
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20) // an overlay names all of its layers
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) >= 5 { // proc(5): the fifth field is the mount point
			all[unescape(fields[4])] = true
		}
	}
	return all
}

// unescape decodes \ooo, the octal form in which mountinfo writes spaces, tabs, newlines and backslashes.
func unescape(s string) string {
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
