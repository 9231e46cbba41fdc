// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/record"
)

// Two outputs that are sent the same batch write one body if, and only if, they would write the same.
func TestTheSameBodyIsWrittenOnce(t *testing.T) {
	open := func(t *testing.T, environ ...string) *Output {
		return open(t, append([]string{"ELASTICSEARCH_HOSTS", "http://127.0.0.1:9200"}, environ...)...)
	}
	src := record.NewSource("s", "web", "stdout", "shop", nil, nil)
	b := &record.Batch{Records: []record.Record{{Line: []byte("a"), Source: src, Time: 1}, {Line: []byte("b"), Source: src, Time: 2, Offset: 2}}}
	alone, release := open(t, "ELASTICSEARCH_INDEX", "shop").body(b, true, nil)
	defer release()
	require.Equal(t, "shop-1970.01.01", alone.index)

	b.Common = record.NewCommon()
	first, done := open(t, "ELASTICSEARCH_INDEX", "shop").body(b, true, nil)
	defer done()
	require.Equal(t, string(alone.buffer.Bytes), string(first.buffer.Bytes))
	second, done := open(t, "ELASTICSEARCH_INDEX", "shop", "ELASTICSEARCH_HOSTS", "http://elsewhere:9200").body(b, true, nil)
	defer done()
	require.Same(t, first, second)
	for name, environ := range map[string][]string{
		"index":       {"ELASTICSEARCH_INDEX", "other"},
		"identities":  {"ELASTICSEARCH_INDEX", "shop", "ELASTICSEARCH_DEDUP", "false"},
		"compression": {"ELASTICSEARCH_INDEX", "shop", "ELASTICSEARCH_COMPRESSION", "gzip"},
		"time zone":   {"ELASTICSEARCH_INDEX", "shop", "ELASTICSEARCH_INDEX_TIME_ZONE", "Asia/Shanghai"},
	} {
		other, done := open(t, environ...).body(b, true, nil)
		require.NotSame(t, first, other, name)
		done()
	}
	typed, done := open(t, "ELASTICSEARCH_INDEX", "shop").body(b, true, map[string]string{"shop": "doc"})
	defer done()
	require.NotSame(t, first, typed)
	imitator, done := open(t, "ELASTICSEARCH_INDEX", "shop").body(b, false, nil)
	defer done()
	require.NotSame(t, first, imitator)
	require.Contains(t, string(imitator.buffer.Bytes), `"_index":"shop-1970.01.01"`)
}
