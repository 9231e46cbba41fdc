// SPDX-License-Identifier: Apache-2.0

// Package protofields reads Protocol Buffers messages without generated code, where a few fields of them matter. It keeps
// nothing and allocates nothing.
package protofields

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrMalformed says that bytes are no message. Nothing of them is in its text.
var ErrMalformed = errors.New("malformed message of Protocol Buffers")

// Each calls each for every field of a message, with its value if it is a varint or has a length; bytes are a part of
// message. It ends at the first error, which it returns.
func Each(message []byte, each func(field protowire.Number, kind protowire.Type, varint uint64, bytes []byte) error) error {
	for len(message) > 0 {
		field, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return ErrMalformed
		}
		message = message[n:]
		var varint uint64
		var bytes []byte
		switch kind {
		case protowire.VarintType:
			varint, n = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			bytes, n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(field, kind, message)
		}
		if n < 0 {
			return ErrMalformed
		}
		message = message[n:]
		if err := each(field, kind, varint, bytes); err != nil {
			return err
		}
	}
	return nil
}
