// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"bytes"

	"github.com/remora-logs/remora/shared/record"
)

// usualLines is the fast path for CRI lines that hold a whole line and whose time has decimals.
func (c *pieces) usualLines(b *record.Batch, data []byte, at int64) (pos int) {
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

// usualObjects is the fast path for objects of json-file that hold a whole message, no attributes, and a time with decimals.
func (c *pieces) usualObjects(b *record.Batch, data []byte, at int64) (pos int) {
	for {
		p := data[pos:]
		n := bytes.IndexByte(p, '\n')
		text, start := usualObject(p[:max(n, 0)])
		if start == 0 {
			return pos
		}
		nano, size := c.clock.readLast(p[start:])
		which := std(p[start-len(`stdout","time":"`):][:len("stdout")])
		if string(p[start+size:n]) != `"}` || size == 0 || nano <= 0 || which == record.NoStd || len(text) > c.join.max {
			return pos
		}
		before := len(b.Arena)
		if b.Arena, text = appendUsual(b.Arena, text); text == nil || len(text) > 0 && text[len(text)-1] == '\r' {
			b.Arena = b.Arena[:before]
			return pos
		}
		b.Records = append(b.Records, record.Record{Source: c.src, Line: text, Time: nano, Offset: at + int64(pos), Std: which})
		pos += n + 1
	}
}

// usualObject finds what varies in an object of json-file from both ends: the text of the message, still escaped, and the index
// at which the time starts. start is 0 if the object has another form. The text, the stream's name and the time are not checked.
func usualObject(line []byte) (text []byte, start int) {
	const (
		head   = `{"log":"`
		stream = `\n","stream":"`
		time   = `","time":"`
		tail   = len(stream) + len("stdout") + len(time)
		most   = len(`2006-01-02T15:04:05.123456789Z"}`)
	)
	if len(line) < len(head)+tail+most || string(line[:len(head)]) != head {
		return nil, 0
	}
	for start = len(line) - most; line[start-1] != '"'; start++ { // zeros at the end of the decimals are not written
		if start == len(line)-most+len("23456789") {
			return nil, 0
		}
	}
	end := start - tail
	if string(line[start-len(time):start]) != time || string(line[end:end+len(stream)]) != stream {
		return nil, 0
	}
	return line[len(head):end:end], start
}
