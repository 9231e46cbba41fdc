// SPDX-License-Identifier: Apache-2.0

// Package line formats records as lines, for the outputs that write text (console and file).
package line

import (
	"fmt"

	"github.com/remora-logs/remora/shared/record"
)

// Format is the form of a record's line.
type Format string

// JSON is the whole record as an object. Raw is only what the application wrote; a record whose line was parsed by a format,
// and not kept, is written as JSON nevertheless.
const (
	JSON Format = "json"
	Raw  Format = "raw"
)

// Check reports an unknown format; name is the variable that holds it.
func (f Format) Check(name string) error {
	if f != JSON && f != Raw {
		return fmt.Errorf("%s is %q; it must be %s or %s", name, string(f), JSON, Raw)
	}
	return nil
}

// Append appends r and a newline to dst.
func (f Format) Append(dst []byte, e *record.Encoder, r *record.Record) []byte {
	return append(f.AppendBare(dst, e, r), '\n')
}

// AppendBare is Append without the newline.
func (f Format) AppendBare(dst []byte, e *record.Encoder, r *record.Record) []byte {
	if f == Raw && r.Line != nil {
		return append(dst, r.Line...)
	}
	return e.AppendRecord(dst, r)
}

// AppendIdentified appends r as JSON with its identity as the member "remora", so that a store can drop duplicates. A record
// that Remora wrote itself already has that member, which says what the record is.
func AppendIdentified(dst []byte, e *record.Encoder, r *record.Record) []byte {
	dst = e.AppendRecord(dst, r)
	if r.Marker {
		return dst
	}
	dst = append(dst[:len(dst)-1], `,"remora":"`...)
	return append(r.AppendID(dst), `"}`...)
}
