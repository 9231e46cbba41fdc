// SPDX-License-Identifier: Apache-2.0

package format

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

var update = flag.Bool("update", false, "write the records that came out as those that are expected")

// Each directory of testdata has a declaration, a log, and the records that the one makes of the other.
func TestGolden(t *testing.T) {
	dirs, err := filepath.Glob("testdata/*/declaration.json")
	require.NoError(t, err)
	require.NotEmpty(t, dirs)
	for _, path := range dirs {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			var d declare.Declaration
			require.NoError(t, json.Unmarshal(text, &d))
			input, err := os.ReadFile(filepath.Join(dir, "input.log"))
			require.NoError(t, err)

			src := record.NewSource("stream", "test", "/var/log/test.log", "test", []record.Tag{{Key: "app", Value: "shop"}}, nil)
			var (
				got []byte
				enc record.Encoder
			)
			for _, r := range run(t, d, src, input) {
				got = append(enc.AppendRecord(got, &r), '\n')
			}
			want := filepath.Join(dir, "want.ndjson")
			if *update {
				require.NoError(t, os.WriteFile(want, got, 0o644))
			}
			expected, err := os.ReadFile(want)
			require.NoError(t, err)
			assert.Equal(t, string(expected), string(got))
		})
	}
}
