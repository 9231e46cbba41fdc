// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAManifestHasAVersion(t *testing.T) {
	text, err := (&Container{ID: "c1"}).Encode()
	require.NoError(t, err)
	require.Contains(t, string(text), `"format":1`)
	for old, ok := range map[string]bool{`"format":1`: true, `"format":0`: true, `"format":2`: false} {
		c, err := DecodeContainer([]byte(strings.Replace(string(text), `"format":1`, old, 1)))
		var newer *NewerError
		if !ok {
			require.ErrorAs(t, err, &newer)
			require.Equal(t, 2, newer.Format)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, "c1", c.ID)
	}
	_, err = DecodeContainer([]byte(`{"id":"written before there were versions"}`))
	require.NoError(t, err)
}
