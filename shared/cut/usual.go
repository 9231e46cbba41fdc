// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"bytes"

	"github.com/remora-logs/remora/shared/record"
)

// usualLines is usual for whole lines of one piece, whose time has decimals.
func (c *CRI) usualLines(b *record.Batch, data []byte, at int64) (pos int) {
	const flag, least = " stdout F ", len("2006-01-02T15:04:05.1Z stdout F ")
	for {
		p := data[pos:]
		if len(p) < least || p[0] != '2' {
			return pos
		}
		n := bytes.IndexByte(p, '\n')
		if n < least {
			return pos
		}
		nano, size := c.clock.read(p[:n])
		if size == 0 || nano <= 0 || n < size+len(flag) {
			return pos
		}
		head, text := p[size:size+len(flag)], p[size+len(flag):n:n]
		which := std(head[1 : 1+len("stdout")])
		if head[0] != ' ' || string(head[7:]) != flag[7:] || which == record.NoStd || len(text) > c.join.max ||
			len(text) > 0 && text[len(text)-1] == '\r' {
			return pos
		}
		b.Records = append(b.Records, record.Record{Source: c.src, Line: text, Time: nano, Offset: at + int64(pos), Std: which})
		pos += n + 1
	}
}
