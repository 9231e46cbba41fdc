// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// explain --sample --json is one JSON object, whatever the sample holds and however much.
func TestSampleAsJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sample.log")
	lines := "{\"a\":1}\nno json \x1b[31m \u202e\n" + strings.Repeat("{\"b\":\"]},\"}\n", 100_000)
	require.NoError(t, os.WriteFile(path, []byte(lines), 0o600))
	c := Command{JSON: true, Sample: path, Env: []string{"aliyun_logs_a=stdout", "aliyun_logs_a_format=json", "aliyun_logs_b=/b.log", "aliyun_logs_b_drop=."}}
	var out bytes.Buffer
	require.NoError(t, c.Explain(&out))
	require.NotContains(t, out.String(), "\x1b")
	require.NotContains(t, out.String(), "\u202e")
	var got struct {
		Declarations []json.RawMessage
		Samples      []struct {
			Name    string
			Records []map[string]any
			Summary struct {
				Lines, Records, Filtered int
				Unmatched                map[string]int
			}
		}
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &got))
	require.Len(t, got.Declarations, 2)
	require.Len(t, got.Samples, 2)
	a, b := got.Samples[0], got.Samples[1]
	require.Equal(t, "a b", a.Name+" "+b.Name)
	require.Len(t, a.Records, 100_002)
	require.EqualValues(t, 1, a.Records[0]["a"])
	require.Equal(t, "]},", a.Records[100_001]["b"])
	require.Len(t, a.Summary.Unmatched, 1)
	require.Empty(t, b.Records)
	require.Equal(t, 100_002, b.Summary.Filtered)

	out.Reset()
	c.Env = nil
	c.Label = []string{"x=y"}
	require.NoError(t, c.Explain(&out))
	require.NoError(t, json.Unmarshal(out.Bytes(), &got))
	require.Empty(t, got.Samples)
	c.Sample = "/nowhere"
	out.Reset()
	require.Error(t, c.Explain(&out))
	require.Empty(t, out.String())
}
