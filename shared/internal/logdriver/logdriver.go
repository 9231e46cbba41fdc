// SPDX-License-Identifier: Apache-2.0

// Package logdriver writes and reads the messages that Docker's engine gives to log drivers, for tests: moby
// daemon/logger/internal/logdriver/entry.proto over Google's wire format. It shares no code with what it tests. The engine's
// own package is not importable any more, and the module that had it is deprecated.
package logdriver

import (
	"encoding/binary"
	"errors"
	"io"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/remora-logs/remora/shared/protofields"
)

// LogEntry is the message of that name.
type LogEntry struct {
	Source             string
	TimeNano           int64
	Line               []byte
	Partial            bool
	PartialLogMetadata *PartialLogEntryMetadata
}

// PartialLogEntryMetadata is the message of that name.
type PartialLogEntryMetadata struct {
	Last    bool
	Id      string
	Ordinal int32
}

// Marshal returns the message as generated code writes it: fields in the order of their numbers, zero values left out.
func (e *LogEntry) Marshal() []byte {
	var p []byte
	p = text(p, 1, []byte(e.Source))
	p = number(p, 2, uint64(e.TimeNano))
	p = text(p, 3, e.Line)
	p = number(p, 4, protowire.EncodeBool(e.Partial))
	if m := e.PartialLogMetadata; m != nil {
		var q []byte
		q = number(q, 1, protowire.EncodeBool(m.Last))
		q = text(q, 2, []byte(m.Id))
		q = number(q, 3, uint64(int64(m.Ordinal)))
		p = protowire.AppendBytes(protowire.AppendTag(p, 5, protowire.BytesType), q)
	}
	return p
}

func text(p []byte, field protowire.Number, value []byte) []byte {
	if len(value) == 0 {
		return p
	}
	return protowire.AppendBytes(protowire.AppendTag(p, field, protowire.BytesType), value)
}

func number(p []byte, field protowire.Number, value uint64) []byte {
	if value == 0 {
		return p
	}
	return protowire.AppendVarint(protowire.AppendTag(p, field, protowire.VarintType), value)
}

var errMessage = errors.New("no LogEntry")

// Unmarshal reads the message that p is.
func (e *LogEntry) Unmarshal(p []byte) error {
	*e = LogEntry{}
	return protofields.Each(p, func(field protowire.Number, kind protowire.Type, value uint64, bytes []byte) error {
		wants := map[protowire.Number]protowire.Type{1: protowire.BytesType, 2: protowire.VarintType, 3: protowire.BytesType,
			4: protowire.VarintType, 5: protowire.BytesType}
		if want, known := wants[field]; known && want != kind {
			return errMessage
		}
		switch field {
		case 1:
			e.Source = string(bytes)
		case 2:
			e.TimeNano = int64(value)
		case 3:
			e.Line = append([]byte{}, bytes...)
		case 4:
			e.Partial = value != 0
		case 5:
			e.PartialLogMetadata = new(PartialLogEntryMetadata)
			return e.PartialLogMetadata.unmarshal(bytes)
		}
		return nil
	})
}

func (m *PartialLogEntryMetadata) unmarshal(p []byte) error {
	return protofields.Each(p, func(field protowire.Number, kind protowire.Type, value uint64, bytes []byte) error {
		wants := map[protowire.Number]protowire.Type{1: protowire.VarintType, 2: protowire.BytesType, 3: protowire.VarintType}
		if want, known := wants[field]; known && want != kind {
			return errMessage
		}
		switch field {
		case 1:
			m.Last = value != 0
		case 2:
			m.Id = string(bytes)
		case 3:
			m.Ordinal = int32(value)
		}
		return nil
	})
}

// Encoder writes frames: a length, big-endian, and a message.
type Encoder struct{ w io.Writer }

// NewLogEntryEncoder makes an Encoder that writes to w.
func NewLogEntryEncoder(w io.Writer) *Encoder { return &Encoder{w} }

// Encode writes one frame.
func (e *Encoder) Encode(entry *LogEntry) error {
	p := entry.Marshal()
	_, err := e.w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(p))), p...))
	return err
}
