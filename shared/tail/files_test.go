// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFilesTellHowFarTheyAreRead(t *testing.T) {
	r := newRig(t, access, Selection{Name: "none", Pattern: "none*"})
	r.start()
	r.write("access.log", "one\n")
	r.pass(5 * time.Second)
	all := func(string) bool { return true }
	files, busy := r.tailer.Files(all)
	require.Empty(t, busy)
	require.Equal(t, []File{{Declarations: []string{access.Name}, Path: r.path("access.log"), Size: 4, Offset: 4, State: "read"}}, files)
	r.pass(2 * detachAfter)
	files, _ = r.tailer.Files(all)
	require.Equal(t, "read", files[0].State, "a file that costs the pipeline nothing any more is known")
	r.blocked = true
	r.write("access.log", "two\n")
	r.pass(5 * time.Second)
	files, _ = r.tailer.Files(all)
	require.Equal(t, File{Declarations: []string{access.Name}, Path: r.path("access.log"), Size: 8, Offset: 4, State: "reading"}, files[0])
	r.rename("access.log", "old")
	r.pass(2 * time.Second)
	files, _ = r.tailer.Files(all)
	require.Equal(t, "rotated", files[0].State)
	require.Empty(t, must(r.tailer.Files(func(string) bool { return false })))
	o := r.tailer.origins[""]
	o.step.Lock()
	defer o.step.Unlock()
	files, busy = r.tailer.Files(all)
	require.Empty(t, files)
	require.Equal(t, []string{""}, busy, "a file system that does not answer holds nobody up")
}

func must(files []File, _ []string) []File { return files }
