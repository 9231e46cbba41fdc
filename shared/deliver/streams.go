// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"slices"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/record"
)

// onlyStream returns a cutter that makes only the records of the given standard stream, or c if stream names neither.
func onlyStream(c cut.Cutter, stream string) cut.Cutter {
	switch stream {
	case record.Stdout.String():
		return &streamCutter{c, record.Stdout}
	case record.Stderr.String():
		return &streamCutter{c, record.Stderr}
	}
	return c
}

type streamCutter struct {
	cut.Cutter
	wanted record.Std
}

func (c *streamCutter) Cut(b *record.Batch, data []byte, at, now int64, last bool) int {
	from := len(b.Records)
	consumed := c.Cutter.Cut(b, data, at, now, last)
	c.filter(b, from)
	return consumed
}

func (c *streamCutter) Expire(b *record.Batch, now int64) {
	from := len(b.Records)
	c.Cutter.Expire(b, now)
	c.filter(b, from)
}

// filter removes the records from index from on that are of the other stream.
func (c *streamCutter) filter(b *record.Batch, from int) {
	kept := slices.DeleteFunc(b.Records[from:], func(r record.Record) bool { return r.Std != c.wanted })
	b.Records = b.Records[:from+len(kept)]
}
