// SPDX-License-Identifier: Apache-2.0

package find

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// mountOf returns the mount point that p lies in, "/" where that is unknown.
func mountOf(p string) string {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "/"
	}
	defer f.Close()
	best := "/"
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text()) // proc(5): the fifth field is the mount point
		if len(fields) < 5 {
			continue
		}
		m := unescape(fields[4])
		if len(m) > len(best) && (p == m || strings.HasPrefix(p, m+"/")) {
			best = m
		}
	}
	return best
}

// unescape decodes \ooo, octal, as which mountinfo writes spaces, tabs, newlines and backslashes.
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
