// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"strconv"

	"github.com/remora-logs/remora/shared/record"
)

// foreign is the prefix for an application's field whose name is reserved for Remora, or taken by a tag.
const foreign = "app_"

// names ensures that nothing an application writes vanishes, or passes for Remora's own. An application's fields keep their
// names throughout the chain, so that filters know them by these. At its end, fields with a name that is not theirs are
// renamed: to app_NAME, and to app_app_NAME if that is taken too.
type names struct {
	src      *record.Source
	schema   *schema
	server   string // precedes fields that the schema has no name for
	keepLine bool   // keep_message: the line has the name message
	always   bool   // the format gives each record a field with such a name

	// Of the current record.
	found bool // there may be a field with such a name
	ours  bool // parse_error is Remora's
	twice bool // a name may occur twice
	text  []byte
	used  usedNames
}

// usedNames holds the names of an object's members so far. The zero value holds none, and records none.
type usedNames struct {
	names map[string]struct{}
	next  map[string]int // the next number to try, by the name before it
}

// maxPrefixes is how many app_ a name gets. Then it gets a number, so that many equal names cost no more than as many
// different ones.
const maxPrefixes = 3

// second reports whether name was used before, and records it.
func (u *usedNames) second(name []byte) bool {
	if _, ok := u.names[string(name)]; ok {
		return true
	}
	u.names[string(name)] = struct{}{}
	return false
}

// free makes name unique with app_ before it and, if needed, a number after it, and records it. If src is nil, no names are
// reserved.
func (u *usedNames) free(name []byte, src *record.Source) []byte {
	for range maxPrefixes {
		name = append(name, foreign...)
		copy(name[len(foreign):], name)
		copy(name, foreign)
		if u.isFree(name, src) {
			return u.note(name)
		}
	}
	if u.next == nil {
		u.next = map[string]int{}
	}
	base := len(name)
	for i := max(2, u.next[string(name)]); ; i++ {
		name = strconv.AppendInt(append(name[:base], '_'), int64(i), 10)
		if u.isFree(name, src) {
			u.next[string(name[:base])] = i + 1
			return u.note(name)
		}
	}
}

func (u *usedNames) isFree(name []byte, src *record.Source) bool {
	_, ok := u.names[string(name)]
	return !ok && (src == nil || !src.Owns(name))
}

func (u *usedNames) note(name []byte) []byte {
	if u.names != nil {
		u.names[string(name)] = struct{}{}
	}
	return name
}

// begin starts a record.
func (n *names) begin() { n.found, n.ours, n.twice = n.always, false, false }

// taken reports whether a field of an application can't have this name.
func (n *names) taken(name []byte) bool {
	return n.src.Owns(name) || n.keepLine && string(name) == "message"
}

// field returns the member of a built-in format's field, given nginx's name for it, under its name in the schema.
func (n *names) field(name string) member { return n.member(n.schema.field(n.server, name)) }

// member returns the member that a format gives each line under this name.
func (n *names) member(name string) member {
	n.always = n.always || n.taken([]byte(name))
	return newMember(name)
}

// settle renames the fields of r whose names are not theirs.
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

// prefix puts app_ before the names of r's fields that are taken, and before the second of two equal ones.
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
	if n.used = (usedNames{}); clash {
		n.used.names = n.all(r.Fields)
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
	n.used = usedNames{}
	finish(b, r, a, at)
}

// all returns the names of fields. If none can occur twice, those with the prefix app_ suffice.
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

// second reports whether name was used before. It is called once for each field if names may occur twice.
func (n *names) second(name []byte) bool {
	return n.twice && n.used.second(name)
}

// free returns name changed so that it is unique. The result is valid until the next call.
func (n *names) free(name []byte) []byte {
	n.text = n.used.free(append(n.text[:0], name...), n.src) // name may be n.text itself
	return n.text
}

// plain returns the decoded key. The result is valid until the next call.
func (n *names) plain(key []byte) []byte {
	if bytes.IndexByte(key, '\\') < 0 {
		return key
	}
	n.text = record.AppendUnescaped(n.text[:0], key)
	return n.text
}
