// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What a reader leaves out because another has read it counts as read: the file is not held for it.
func TestAReaderFollowsAnother(t *testing.T) {
	g := &generation{}
	g.end.Store(100)
	r := &reader{generation: g}
	g.readers = []*reader{r}
	require.EqualValues(t, 100, g.owedNow().unread)
	require.True(t, r.Follow(0, 60))
	require.EqualValues(t, 40, g.owedNow().unread)
	require.True(t, r.Follow(60, 100))
	require.Zero(t, g.owedNow().unread)
	g.packed = true
	require.False(t, r.Follow(100, 120), "how long it is, reads find out")
}
