// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPart(t *testing.T) {
	for key, part := range map[string]string{
		"aliyun.logs.access": "path", "aliyun_logs_access": "path", "logs.access": "path", "logs.access.path": "path",
		"aliyun.logs.access.format": "format", "aliyun_logs_access_format_time_key": "format", "logs.a.format.time_key": "format",
		"aliyun.logs.a.multiline.start": "multiline", "aliyun_logs_a_keep": "keep", "aliyun.logs.a.keep.1": "keep", "aliyun.logs.a.add.team": "add",
		"aliyun.logs.a.tags": "tags", "aliyun.logs.a.tags_from": "tags_from", "aliyun_logs_a_streams": "streams", "aliyun.logs.a.output": "output",
		"collect.web": "collect", "collect.web.match": "collect", "collect.web.logs.a.format": "format", "collect.web.logs.a": "path",
		"aliyun.logs.a.fromat": "", "logs.a.multilin": "", "REMORA_LABELS": "", "/etc/remora.yml": "", "fifo": "", "": "", "logs": "", "catalogs.x": "",
	} {
		require.Equal(t, part, Part(key), key)
	}
}

func FuzzPart(f *testing.F) {
	f.Add("aliyun_logs_a_format")
	f.Fuzz(func(_ *testing.T, key string) { Part(key) })
}
