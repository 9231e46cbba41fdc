// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"strconv"

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
	found bool // there may be such a field
	ours  bool // parse_error is Remora's
	twice bool // a name may occur twice
	text  []byte
	used  usedNames
}

// usedNames are the names that the members of one object have so far. The zero value knows none, and remembers none.
type usedNames struct {
	names map[string]struct{}
	next  map[string]int // the number behind the last one that was given, by what precedes it
}

// maxPrefixes is how many app_ a name gets. Then it gets a number, so that many equal names cost no more than as many others.
const maxPrefixes = 3

// second reports whether name was there before.
func (u *usedNames) second(name []byte) bool {
	if _, ok := u.names[string(name)]; ok {
		return true
	}
	u.names[string(name)] = struct{}{}
	return false
}

// free changes name, with app_ before it and if need be a number behind it, so that nobody has it, and notes it. src is nil where
// names are not reserved.
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

// field returns the member that a built-in format makes of each line: by nginx's name for it, under that of the schema.
func (n *names) field(name string) member { return n.member(n.schema.field(n.server, name)) }

// member returns the member that a format makes of each line under this name.
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

// all returns the names of fields. Where none can occur twice, those suffice that may be in the way of another.
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
	return n.twice && n.used.second(name)
}

// free is name with an addition that makes it one that nobody has. It is valid until the next call.
func (n *names) free(name []byte) []byte {
	n.text = n.used.free(append(n.text[:0], name...), n.src) // which may be the same memory
	return n.text
}

// plain returns what key says. It is valid until the next call.
func (n *names) plain(key []byte) []byte {
	if bytes.IndexByte(key, '\\') < 0 {
		return key
	}
	n.text = record.AppendUnescaped(n.text[:0], key)
	return n.text
}
