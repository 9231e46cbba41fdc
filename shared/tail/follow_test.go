// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a reader leaves out because another has read it counts as read: the file is not held for it.
func TestAReaderFollowsAnother(t *testing.T) {
	g := &generation{}
	g.end.Store(100)
	lead, r := &reader{generation: g}, &reader{generation: g}
	lead.proof.Extend(make([]byte, 100), 0)
	lead.advance(100)
	g.readers = []*reader{lead, r}
	require.EqualValues(t, 100, g.owedNow().unread)
	require.True(t, r.Follow(0, 60))
	require.EqualValues(t, 40, g.owedNow().unread)
	require.True(t, r.Follow(60, 100))
	require.Zero(t, g.owedNow().unread)
	require.False(t, r.Follow(100, 120), "nobody has read that")
	g.packed = true
	require.False(t, r.Follow(100, 120), "how long it is, reads find out")
}

// Who has left out bytes that another has read finds out as well that the file was written anew.
func TestAReaderThatFollowedSeesATruncation(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(name, []byte(strings.Repeat("before\n", 100)), 0o600))
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	g := &generation{body: f, wake: func() {}}
	g.end.Store(700)
	lead, follower := &reader{generation: g}, &reader{generation: g}
	g.readers = []*reader{lead, follower}
	p := make([]byte, 350)
	n, err := lead.ReadAt(p, 0)
	require.NoError(t, err)
	require.Equal(t, 350, n)
	require.True(t, follower.Follow(0, 350))
	require.NoError(t, os.WriteFile(name, []byte(strings.Repeat("after!\n", 100)), 0o600))
	for _, r := range g.readers {
		n, err = r.ReadAt(p, 350)
		require.NoError(t, err)
		require.Zero(t, n)
	}
}
