// SPDX-License-Identifier: Apache-2.0

package grpc

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/remora-logs/remora/shared/protofields"
)

// ErrMessage is the error of a malformed message.
var ErrMessage = errors.New("the runtime's answer is no message of Protocol Buffers")

// Fields calls each for every field of a message. A varint is passed as number, a length-delimited field as bytes.
func Fields(message []byte, each func(field protowire.Number, number uint64, bytes []byte) error) error {
	err := protofields.Each(message, func(field protowire.Number, _ protowire.Type, number uint64, bytes []byte) error {
		return each(field, number, bytes)
	})
	if errors.Is(err, protofields.ErrMalformed) {
		return ErrMessage
	}
	return err
}

// Pair decodes an entry of a map of strings and adds it to the map.
func Pair(message []byte, into *map[string]string) error {
	var key, value string
	err := Fields(message, func(field protowire.Number, _ uint64, bytes []byte) error {
		switch field {
		case 1:
			key = string(bytes)
		case 2:
			value = string(bytes)
		}
		return nil
	})
	if *into == nil {
		*into = map[string]string{}
	}
	(*into)[key] = value
	return err
}
