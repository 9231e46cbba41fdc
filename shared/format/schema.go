// SPDX-License-Identifier: Apache-2.0

package format

import (
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

// NewSource makes the Source of the records that d makes of the stream key, which is at path.
func NewSource(d declare.Declaration, key, path string, tags, origin []record.Tag) *record.Source {
	return record.NewSource(key, d.Name, path, d.Target, tags, origin)
}
