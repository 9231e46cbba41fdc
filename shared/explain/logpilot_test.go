// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every key that log-pilot, its forks and SLS' environment mode know: what explain --json says of it beside a log a. A key
// that is mapped shows in the declaration, one that is ignored or warned about leaves the log collected, one that is
// refused takes its own log away and no other.
func TestEveryKeyOfLogPilotAndItsForks(t *testing.T) {
	data, err := os.ReadFile("testdata/logpilot.json")
	require.NoError(t, err)
	var cases []struct {
		Name, Want string
		Env, Label []string
		Has        []string // in the declarations
	}
	require.NoError(t, json.Unmarshal(data, &cases))
	require.Greater(t, len(cases), 40)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			var out bytes.Buffer
			err := (&Command{JSON: true, Env: c.Env, Label: append([]string{"aliyun.logs.innocent=stdout"}, c.Label...)}).Explain(&out)
			var got struct {
				Declarations     []json.RawMessage
				Errors, Warnings []json.RawMessage
			}
			require.NoError(t, json.Unmarshal(out.Bytes(), &got), "%s", out.String())
			declared := string(bytes.Join(toBytes(got.Declarations), []byte("\n")))
			require.Contains(t, declared, `"innocent"`)
			for _, has := range c.Has {
				require.Contains(t, declared, has)
			}
			problems := [2]bool{len(got.Errors) > 0, len(got.Warnings) > 0}
			want := map[string][2]bool{"mapped": {}, "ignored": {false, true}, "warned": {false, true}, "refused": {true, false}}[c.Want]
			require.Equal(t, want[0], problems[0], "errors: %s", out.String())
			require.Equal(t, want[0], err != nil, "the exit code")
			if c.Want != "refused" {
				require.Equal(t, want[1], problems[1], "warnings: %s", out.String())
				require.Contains(t, declared, `"a"`)
			}
		})
	}
}

func toBytes(all []json.RawMessage) (b [][]byte) {
	for _, one := range all {
		var compact bytes.Buffer
		_ = json.Compact(&compact, one)
		b = append(b, compact.Bytes())
	}
	return b
}
