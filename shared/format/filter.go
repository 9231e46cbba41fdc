// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"log/slog"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

// filter is one keep or drop, of the line or of a field. A match that takes too long never loses a record: keep then keeps it,
// and drop does not drop it.
type filter struct {
	pattern *guarded
	field   []byte // nil for the line
	drop    bool
}

func newFilter(key string, drop bool, c declare.Condition, log *slog.Logger) (filter, error) {
	g, err := newGuarded(key, c.Expr, log)
	if err != nil {
		return filter{}, err
	}
	f := filter{pattern: g, drop: drop}
	if c.Field != "" {
		f.field = []byte(c.Field)
	}
	return f, nil
}

// passes reports whether r passes all of filters.
func passes(filters []filter, b *record.Batch, r *record.Record) bool {
	for i := range filters {
		if !filters[i].passes(b, r) {
			return false
		}
	}
	return true
}

func (f *filter) passes(b *record.Batch, r *record.Record) bool {
	text, ok := r.Line, true
	if f.field != nil {
		at := len(b.Arena)
		text, ok = fieldText(b, r, f.field)
		b.Arena = b.Arena[:at]
	}
	if !ok { // a missing field matches nothing
		return f.drop
	}
	match, err := f.pattern.match(text)
	return err != nil || match != f.drop
}

// fieldText returns the text of a record's field. It may be one of the record's own (message, stream or source) if the
// application has none of that name. A name with dots that is not a field's is a path into nested objects. The text is valid
// until the arena of b is used again.
func fieldText(b *record.Batch, r *record.Record, name []byte) (text []byte, ok bool) {
	if string(name) == "message" && r.Line != nil {
		return r.Line, true
	}
	value, ok := lookUp(b, r.Fields, name)
	at := len(b.Arena)
	switch {
	case ok:
		b.Arena = record.AppendText(b.Arena, value)
	case string(name) == "stream" && r.Std != record.NoStd:
		b.Arena = append(b.Arena, r.Std.String()...)
	case string(name) == "source":
		b.Arena = append(b.Arena, r.Source.Path...)
	default:
		return nil, false
	}
	return b.Arena[at:], true
}

// lookUp finds the member called name or, if name is a.b, the member b of the object a.
func lookUp(b *record.Batch, fields, name []byte) (value []byte, ok bool) {
	for rest := fields; ; {
		key, v, next, more := record.NextField(rest)
		if !more {
			return nil, false
		}
		if rest = next; sameKey(b, key, name) {
			return v, true
		}
		if n := len(key); len(name) > n+1 && name[n] == '.' && sameKey(b, key, name[:n]) && v[0] == '{' {
			if v, ok := lookUp(b, v[1:len(v)-1], name[n+1:]); ok {
				return v, true
			}
		}
	}
}

// sameKey reports whether key, in its JSON form, is name.
func sameKey(b *record.Batch, key, name []byte) bool {
	if bytes.IndexByte(key, '\\') < 0 {
		return bytes.Equal(key, name)
	}
	at := len(b.Arena)
	b.Arena = record.AppendUnescaped(b.Arena, key)
	same := bytes.Equal(b.Arena[at:], name)
	b.Arena = b.Arena[:at]
	return same
}
