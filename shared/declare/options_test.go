// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOptionsOfACacheThatThereIsNot(t *testing.T) {
	options := map[string]string{"max-size": "1m", "max-file": "2", "mode": "non-blocking"}
	require.Empty(t, WarnOfCache(options, false))
	require.Len(t, WarnOfCache(options, true), 2)
	options["cache-disabled"] = "true"
	require.Len(t, WarnOfCache(options, false), 2)
	require.Contains(t, WarnOfCache(options, false)[0].Message, "cache-disabled is set")
	options["cache-disabled"] = "false"
	require.Empty(t, WarnOfCache(options, false))
}
