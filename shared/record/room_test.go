// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAppendBytesExactRoom has strings of which much has to be escaped end where the buffer ends: what is written last must
// leave room for the closing quote.
func TestAppendBytesExactRoom(t *testing.T) {
	for first := 24; first <= 34; first++ {
		for second := range 33 {
			for _, in := range []string{"", "\x01", "ä", "\xff"} {
				text := in + strings.Repeat(`"`, first) + strings.Repeat(`\`, second) + strings.Repeat("a", max(0, 64-first-second)) + strings.Repeat(`"`, 32)
				for spare := range 8 {
					dst := AppendBytes(make([]byte, 0, len(text)+slack+spare), []byte(text))
					var got string
					require.NoError(t, json.Unmarshal(dst, &got))
					require.Equal(t, strings.ToValidUTF8(text, "\ufffd"), got)
				}
			}
		}
	}
}
