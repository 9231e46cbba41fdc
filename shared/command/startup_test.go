// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUnwrittenMappings(t *testing.T) {
	const smaps = `00400000-00b81000 r-xp 00000000 fe:00 123   /bin/remora-sidecar
Rss:                6596 kB
Anonymous:             0 kB
AnonHugePages:         0 kB
00b81000-013a0000 r--p 00781000 fe:00 123   /bin/remora-sidecar
Anonymous:             4 kB
013a0000-014ba000 rw-p 00fa0000 fe:00 123   /bin/remora-sidecar
Anonymous:             0 kB
014ba000-03505000 rw-p 00000000 00:00 0
Anonymous:             0 kB
7f2a6a210000-7f2a6a220000 r--s 00000000 fe:00 124   /state/checkpoints.db
Anonymous:             0 kB
7f2a6a564000-7f2a6a566000 r-xp 00000000 00:00 0     [vdso]
Anonymous:             0 kB
`
	require.Equal(t, []mapping{{0x400000, 0xb81000}}, unwritten(smaps, "/bin/remora-sidecar"))
	require.Empty(t, unwritten(smaps, "remora-sidecar"))
	require.Empty(t, unwritten("", "/bin/remora-sidecar"))
}

func TestProgramIsUnmapped(t *testing.T) {
	before := mappedFiles(t)
	require.NoError(t, unmapProgram())
	require.Less(t, mappedFiles(t), before*3/4)
}

// mappedFiles is how many kB of files this process has in memory.
func mappedFiles(t *testing.T) (kB int) {
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(status), "RssFile:")
	_, err = fmt.Sscan(rest, &kB)
	require.NoError(t, err)
	return kB
}
