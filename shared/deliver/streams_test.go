// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/record"
)

// alternating makes a record of each byte, by turns of stdout and stderr.
type alternating struct{ cut.Cutter }

func (alternating) Cut(b *record.Batch, data []byte, at, _ int64, _ bool) int {
	for i := range data {
		b.Records = append(b.Records, record.Record{Line: data[i : i+1], Offset: at + int64(i), Std: record.Stdout + record.Std(i%2)})
	}
	return len(data)
}

func TestOneStreamAlone(t *testing.T) {
	for stream, want := range map[string]string{"": "abcd", "stdout": "ac", "stderr": "bd"} {
		b := record.NewBatch(16)
		b.Records = append(b.Records, record.Record{Line: []byte("another log's"), Std: record.NoStd})
		require.Equal(t, 4, onlyStream(alternating{}, stream).Cut(b, []byte("abcd"), 0, 0, false), "all of it is consumed")
		var got string
		for _, r := range b.Records[1:] {
			got += string(r.Line)
		}
		require.Equal(t, want, got)
		require.Equal(t, "another log's", string(b.Records[0].Line))
	}
}
