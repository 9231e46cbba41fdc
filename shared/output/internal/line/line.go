// SPDX-License-Identifier: Apache-2.0

// Package line is the form in which outputs that write text (console, file) put a record: one line each.
package line

import (
	"fmt"

	"github.com/remora-logs/remora/shared/record"
)

// Format is how a record becomes a line.
type Format string

// The formats: JSON is the whole record as an object; Raw is what the application wrote and nothing else. A record whose
// line a format took apart has no line to write, and is written as JSON even then.
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

// Append appends r and a newline.
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

// AppendIdentified appends r as JSON with its identity as the member remora, so that whoever stores it can leave out what
// was sent twice. A record that Remora wrote itself says in that member what it is.
func AppendIdentified(dst []byte, e *record.Encoder, r *record.Record) []byte {
	dst = e.AppendRecord(dst, r)
	if r.Marker {
		return dst
	}
	dst = append(dst[:len(dst)-1], `,"remora":"`...)
	return append(r.AppendID(dst), `"}`...)
}
