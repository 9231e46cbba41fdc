// SPDX-License-Identifier: Apache-2.0

package protofields

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

// message has a field of each kind.
func message() []byte {
	p := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 300)
	p = protowire.AppendFixed32(protowire.AppendTag(p, 2, protowire.Fixed32Type), 7)
	p = protowire.AppendFixed64(protowire.AppendTag(p, 3, protowire.Fixed64Type), 7)
	p = protowire.AppendTag(protowire.AppendTag(p, 4, protowire.StartGroupType), 4, protowire.EndGroupType)
	return protowire.AppendString(protowire.AppendTag(p, 5, protowire.BytesType), "text")
}

func TestEach(t *testing.T) {
	var fields []protowire.Number
	require.NoError(t, Each(message(), func(field protowire.Number, kind protowire.Type, varint uint64, bytes []byte) error {
		fields = append(fields, field)
		require.Equal(t, map[bool]uint64{true: 300}[field == 1], varint)
		require.Equal(t, map[bool]string{true: "text"}[field == 5], string(bytes))
		require.Equal(t, kind == protowire.BytesType, field == 5)
		return nil
	}))
	require.Equal(t, []protowire.Number{1, 2, 3, 4, 5}, fields)
}

// Whatever the bytes are, there is an end, and nothing is read beyond them.
func FuzzEach(f *testing.F) {
	for cut := range message() {
		f.Add(message()[:cut])
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		left := len(p)
		err := Each(p, func(_ protowire.Number, _ protowire.Type, _ uint64, bytes []byte) error {
			left -= 1 + len(bytes) // a tag is at least a byte
			return nil
		})
		require.GreaterOrEqual(t, left, 0)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
		}
	})
}
