// SPDX-License-Identifier: Apache-2.0

package logstash

import (
	"encoding/binary"

	"github.com/klauspost/compress/zlib"

	"github.com/remora-logs/remora/shared/record"
)

// Frames of lumberjack, version 2 (github.com/elastic/go-lumber, doc/PROTOCOL.md): a version, a type, and big-endian numbers
// of four bytes.
const (
	version    = '2'
	windowSize = 'W' // how many events follow
	compressed = 'C' // length, and other frames compressed by zlib
	jsonEvent  = 'J' // sequence number, length, and an object
	ack        = 'A' // the number up to which events were taken; 0 is a keep-alive
)

// encoder encodes windows. It is used by one goroutine at a time.
type encoder struct {
	enc    record.Encoder
	meta   []byte // the @metadata of all events, up to the identity
	level  int
	events []byte
	out    sink
	zip    *zlib.Writer
}

// sink is a writer that appends to a slice.
type sink []byte

func (s *sink) Write(p []byte) (int, error) {
	*s = append(*s, p...)
	return len(p), nil
}

func newEncoder(index string, level int) *encoder {
	meta := []byte(`,"@metadata":{"beat":`)
	meta = record.AppendString(meta, index)
	return &encoder{meta: append(meta, `,"type":"_doc","version":"8.0.0","_id":"`...), level: level}
}

// window encodes records as a window. The result is valid until the next call.
func (e *encoder) window(records []record.Record) ([]byte, error) {
	e.out = append(e.out[:0], version, windowSize)
	e.out = binary.BigEndian.AppendUint32(e.out, uint32(len(records)))
	if e.level == 0 {
		for i := range records {
			e.out = e.appendEvent(e.out, &records[i], i+1)
		}
		return e.out, nil
	}
	e.out = append(e.out, version, compressed, 0, 0, 0, 0)
	at := len(e.out)
	if e.zip == nil {
		var err error
		if e.zip, err = zlib.NewWriterLevel(&e.out, e.level); err != nil {
			return nil, err
		}
	} else {
		e.zip.Reset(&e.out)
	}
	e.events = e.events[:0]
	for i := range records {
		e.events = e.appendEvent(e.events, &records[i], i+1)
		if len(e.events) >= 64<<10 || i == len(records)-1 {
			if _, err := e.zip.Write(e.events); err != nil {
				return nil, err
			}
			e.events = e.events[:0]
		}
	}
	if err := e.zip.Close(); err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(e.out[at-4:], uint32(len(e.out)-at))
	return e.out, nil
}

// appendEvent appends r as event number seq of its window. The event has its identity twice: as a field, and where Beats have
// it, for a pipeline that passes it to Elasticsearch as document_id.
func (e *encoder) appendEvent(dst []byte, r *record.Record, seq int) []byte {
	dst = append(dst, version, jsonEvent)
	dst = binary.BigEndian.AppendUint32(dst, uint32(seq))
	dst = append(dst, 0, 0, 0, 0)
	at := len(dst)
	dst = e.enc.AppendRecord(dst, r)
	dst = dst[:len(dst)-1]
	if !r.Marker {
		dst = append(dst, `,"remora":"`...)
		dst = append(r.AppendID(dst), '"')
	}
	dst = append(dst, e.meta...)
	dst = append(r.AppendID(dst), `"}}`...)
	binary.BigEndian.PutUint32(dst[at-4:], uint32(len(dst)-at))
	return dst
}
