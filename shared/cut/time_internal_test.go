// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2026-02-28T23:59:59.123456789Z", "2024-02-29T00:00:00+08:00", "1970-01-01T00:00:00.1-11:30"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := time.Parse(time.RFC3339Nano, s)
		nano, ok := parseTime([]byte(s))
		if err == nil && want.Year() >= 1971 && want.Year() < 2261 && s[10] == 'T' && s[13] == ':' && s[16] == ':' && s[len(s)-1] != 'z' {
			require.True(t, ok, s)
			require.Equal(t, want.UnixNano(), nano)
		}
	})
}
