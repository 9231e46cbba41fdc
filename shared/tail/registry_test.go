// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/tail/find"
)

// An application may make files of ever new names and remove them before they are opened, for months.
func TestNamesThatVanishAreForgotten(t *testing.T) {
	o := newOrigin(&Origin{Root: find.Host()}, newStoredSet())
	tree := find.Host().Tree(t.TempDir())
	t.Cleanup(tree.Release)
	for i := range 1000 {
		o.scans++
		o.noteGone(&selection{}, tree, fmt.Sprintf("request-%d/access.log", i))
		o.findUnselected()
	}
	require.LessOrEqual(t, len(o.latest), missedScans+1)
	require.Contains(t, o.latest, tree.Path("request-999")+"/")
	for range missedScans + 1 {
		o.scans++
		o.findUnselected()
	}
	require.Empty(t, o.latest)
}

// A file that is rotated for months does not make its successors remember every file that was as old as a predecessor.
func TestOlderFilesOfPredecessorsAreForgotten(t *testing.T) {
	r := newRegistry(newStoredSet())
	for i := range int64(1000) {
		b := &latestFile{birth: i}
		r.setLatest("/logs/access.log", b)
		if b.older == nil {
			b.older = map[olderFile]bool{}
		}
		b.older[olderFile{find.Inode{Ino: uint64(i)}, i}] = true
	}
	latest := r.latest["/logs/"]["access.log"]
	require.Len(t, latest.older, 1)
	r.setLatest("/logs/access.log", &latestFile{birth: latest.birth})
	require.Len(t, r.latest["/logs/"]["access.log"].older, 1, "a file of the same birth still needs them")
}
