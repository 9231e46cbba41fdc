// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"

	"github.com/remora-logs/remora/shared/record"
)

// foreign is put before the name of an application's field that is reserved for Remora, or taken by a tag.
const foreign = "app_"

// names sees to it that nothing an application writes vanishes, or passes for what Remora says. An application's fields
// keep their names through all of the chain, so that filters know them by these; at its end, those with a name that is not
// theirs get another: app_NAME, and app_app_NAME where that is taken, too.
type names struct {
	src      *record.Source
	schema   *schema
	server   string // for fields that the schema has no name for
	keepLine bool   // keep_message: the line has the name message
	always   bool   // the format makes a field of such a name of each record

	// Of the record at hand.
	found  bool // there may be such a field
	ours   bool // parse_error is Remora's
	twice  bool // a name may occur twice
	text   []byte
	before map[string]struct{} // names that are in use; nil where that does not matter
}

// begin starts a record.
func (n *names) begin() { n.found, n.ours, n.twice = n.always, false, false }

// taken reports whether a field of an application can't have this name.
func (n *names) taken(name []byte) bool {
	return n.src.Owns(name) || n.keepLine && string(name) == "message"
}

// field is the member that a built-in format makes of each line: by nginx's name for it, under that of the schema.
func (n *names) field(name string) member { return n.member(n.schema.field(n.server, name)) }

// member is the member that a format makes of each line under this name.
func (n *names) member(name string) member {
	n.always = n.always || n.taken([]byte(name))
	return newMember(name)
}

// settle gives the fields of r that have a name that is not theirs another one.
func (n *names) settle(b *record.Batch, r *record.Record) {
	if !n.found {
		return
	}
	n.prefix(b, r, func(name []byte) bool {
		switch string(name) {
		case "message":
			return r.Line != nil
		case "parse_error":
			return !n.ours
		}
		return n.src.Owns(name)
	})
}

// prefix puts app_ before the names of those fields of r that are not to keep them, and before the second of two equal ones.
func (n *names) prefix(b *record.Batch, r *record.Record, taken func(name []byte) bool) {
	any, clash := n.twice, n.twice
	for rest := r.Fields; ; {
		key, _, next, ok := record.NextField(rest)
		if !ok {
			break
		}
		rest = next
		name := n.plain(key)
		any = any || taken(name)
		clash = clash || bytes.HasPrefix(name, []byte(foreign))
	}
	if !any {
		return
	}
	if n.before = nil; clash {
		n.before = n.all(r.Fields)
	}
	at, a := len(b.Arena), b.Arena
	for rest := r.Fields; ; {
		key, value, next, ok := record.NextField(rest)
		if !ok {
			break
		}
		rest = next
		name := n.plain(key)
		if !taken(name) && !n.second(name) {
			a = appendMember(a, key, value)
			continue
		}
		a = record.AppendBytes(append(a, ','), n.free(name))
		a = append(append(a, ':'), value...)
	}
	n.before = nil
	finish(b, r, a, at)
}

// all are the names of fields. Where none can occur twice, those suffice that may stand in the way of another.
func (n *names) all(fields []byte) map[string]struct{} {
	all := make(map[string]struct{})
	for rest := fields; !n.twice; {
		key, _, next, ok := record.NextField(rest)
		if !ok {
			break
		}
		if name := n.plain(key); bytes.HasPrefix(name, []byte(foreign)) {
			all[string(name)] = struct{}{}
		}
		rest = next
	}
	return all
}

// second reports whether name was there before. It is asked once for each field, where names may occur twice.
func (n *names) second(name []byte) bool {
	if !n.twice {
		return false
	}
	if _, ok := n.before[string(name)]; ok {
		return true
	}
	n.before[string(name)] = struct{}{}
	return false
}

// free is name with as many app_ before it as make it one that nobody has. It is valid until the next call.
func (n *names) free(name []byte) []byte {
	n.text = append(n.text[:0], name...) // which may be the same memory
	for {
		n.text = append(n.text, foreign...)
		copy(n.text[len(foreign):], n.text)
		copy(n.text, foreign)
		if _, ok := n.before[string(n.text)]; !ok && !n.src.Owns(n.text) {
			break
		}
	}
	if n.before != nil {
		n.before[string(n.text)] = struct{}{}
	}
	return n.text
}

// plain is what key says. It is valid until the next call.
func (n *names) plain(key []byte) []byte {
	if bytes.IndexByte(key, '\\') < 0 {
		return key
	}
	n.text = record.AppendUnescaped(n.text[:0], key)
	return n.text
}
