// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"log/slog"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/record"
)

// editor adds, removes and renames fields, in this order. message is one of them: if it stands for the line, the line is
// replaced, removed or made a field of another name. The editor's time is linear in the fields and in the declared edits.
type editor struct {
	added   []field
	isAdded nameSet
	removed nameSet
	renamed []renaming
	names   []*renamedName          // of all from and to
	byName  map[string]*renamedName // names, by name
	owners  *names
	scratch []byte
}

// field is a member: its name, its value, and its JSON after a comma.
type field struct {
	name, value string
	json        []byte
}

// renaming is an entry of rename.
type renaming struct {
	from, to *renamedName
	member   member // of to
}

// renamedName is a name in rename, with its role in the current record.
type renamedName struct {
	name    string
	sources int // how many renamings have it as from
	there   bool
	source  *renaming // the one that applies to a field of this name
	target  bool      // one that applies has it as to
}

// newEditor returns an editor; nil if there is nothing to edit. It leaves out, and logs, what would replace one of the
// record's own members.
func newEditor(f declare.Filters, n *names, log *slog.Logger) *editor {
	e := &editor{owners: n, byName: make(map[string]*renamedName)}
	for _, p := range f.Add {
		if !n.src.Owns([]byte(p.Key)) {
			e.added = append(e.added, field{p.Key, p.Value, newMember(p.Key).appendText(nil, []byte(p.Value))})
			e.isAdded.add(p.Key)
		} else {
			notice.FieldNotAdded.Log(log, "field", p.Key)
		}
	}
	for _, name := range f.Remove {
		e.removed.add(name)
	}
	for _, p := range f.Rename {
		if !n.src.Owns([]byte(p.Value)) {
			e.renamed = append(e.renamed, renaming{from: e.name(p.Key), to: e.name(p.Value), member: newMember(p.Value)})
			e.name(p.Key).sources++
		} else {
			notice.FieldNotRenamed.Log(log, "field", p.Key, "to", p.Value)
		}
	}
	if len(e.added)+len(e.removed.list)+len(e.renamed) == 0 {
		return nil
	}
	return e
}

// name returns the entry of s, which it makes if there is none.
func (e *editor) name(s string) *renamedName {
	n := e.byName[s]
	if n == nil {
		n = &renamedName{name: s}
		e.byName[s] = n
		e.names = append(e.names, n)
	}
	return n
}

// fewNames is up to how many names are compared one by one, which is faster than a map.
const fewNames = 8

// find returns the entry of name, nil if there is none.
func (e *editor) find(name []byte) *renamedName {
	if len(e.names) > fewNames {
		return e.byName[string(name)]
	}
	for _, n := range e.names {
		if string(name) == n.name {
			return n
		}
	}
	return nil
}

// nameSet is a set of names.
type nameSet struct {
	list []string
	set  map[string]struct{} // the same, if there are more than fewNames
}

func (s *nameSet) add(name string) {
	if s.list = append(s.list, name); len(s.list) <= fewNames {
		return
	}
	if s.set == nil {
		s.set = make(map[string]struct{})
	}
	for _, name := range s.list {
		s.set[name] = struct{}{}
	}
}

func (s *nameSet) has(name []byte) bool {
	if len(s.list) > fewNames {
		_, ok := s.set[string(name)]
		return ok
	}
	for _, n := range s.list {
		if string(name) == n {
			return true
		}
	}
	return false
}

// apply edits r. It keeps the line and the fields together within limit: it leaves out what is beyond, and marks r as truncated.
func (e *editor) apply(b *record.Batch, r *record.Record, limit int) {
	if len(e.added) > 0 {
		e.add(b, r, limit)
	}
	if len(e.removed.list) > 0 {
		e.remove(b, r)
	}
	if len(e.renamed) > 0 {
		e.rename(b, r, limit)
	}
}

// add appends the declared fields to those of r. The application's fields of the same names are renamed.
func (e *editor) add(b *record.Batch, r *record.Record, limit int) {
	e.owners.prefix(b, r, e.isAdded.has)
	at := len(b.Arena)
	a := b.Arena
	if len(r.Fields) > 0 {
		a = append(append(a, ','), r.Fields...)
	}
	left := limit - (len(a) - at)
	if !e.isAdded.has(message) {
		left -= len(r.Line)
	}
	var replaced *field
	for i := range e.added {
		f := &e.added[i]
		if f.name == "message" && r.Line != nil {
			replaced = f
			left -= len(f.value)
			continue
		}
		if left -= len(f.json); left < 0 {
			r.Truncated = true
			break
		}
		a = append(a, f.json...)
	}
	finish(b, r, a, at)
	if replaced != nil {
		r.Line = b.Hold([]byte(replaced.value))
		if over := len(r.Line) + len(r.Fields) - limit; over > 0 {
			r.Line, r.Truncated = cutText(r.Line, max(0, len(r.Line)-over)), true
		}
	}
}

func (e *editor) remove(b *record.Batch, r *record.Record) {
	if e.removed.has(message) {
		r.Line = nil
	}
	at := len(b.Arena)
	finish(b, r, e.copy(b.Arena, r.Fields, &e.removed), at)
}

// copy appends the members whose names are not in without.
func (e *editor) copy(a, fields []byte, without *nameSet) []byte {
	for rest := fields; ; {
		key, value, next, ok := record.NextField(rest)
		if !ok {
			return a
		}
		rest = next
		if !without.has(e.plain(key)) {
			a = appendMember(a, key, value)
		}
	}
}

var message = []byte("message")

// appendMember appends a member whose key and value are JSON already.
func appendMember(a, key, value []byte) []byte {
	a = append(append(a, `,"`...), key...)
	return append(append(a, `":`...), value...)
}

// plain returns the decoded key. The result is valid until the next call.
func (e *editor) plain(key []byte) []byte {
	if bytes.IndexByte(key, '\\') < 0 {
		return key
	}
	e.scratch = record.AppendUnescaped(e.scratch[:0], key)
	return e.scratch
}

// rename renames the fields of r. A field that had such a name is dropped; if two would get the same name, the later keeps its
// own. No field gets the name message while the line has it.
func (e *editor) rename(b *record.Batch, r *record.Record, limit int) {
	if !e.activate(r) {
		return
	}
	at, a := len(b.Arena), b.Arena
	line := len(r.Line)
	if n := e.find(message); n != nil && n.source != nil && r.Line != nil {
		a = record.AppendBytes(append(a, n.source.member...), r.Line)
		r.Line, line = nil, 0
	}
	for rest := r.Fields; ; {
		key, value, next, ok := record.NextField(rest)
		if !ok {
			break
		}
		rest = next
		size := len(a)
		switch n := e.find(e.plain(key)); {
		case n != nil && n.source != nil:
			a = append(append(a, n.source.member...), value...)
		case n == nil || !n.target:
			a = appendMember(a, key, value)
		}
		if line+len(a)-at-1 > limit {
			a, r.Truncated = a[:size], true
			break
		}
	}
	finish(b, r, a, at)
}

// activate decides which renamings apply to r, and reports whether any does.
func (e *editor) activate(r *record.Record) (any bool) {
	for _, n := range e.names {
		n.there, n.source, n.target = false, nil, false
	}
	line := e.find(message)
	if line != nil {
		line.there = r.Line != nil
	}
	left := len(e.renamed) // how many renamings may still find their field
	for rest := r.Fields; left > 0; {
		key, _, next, ok := record.NextField(rest)
		if !ok {
			break
		}
		rest = next
		if n := e.find(e.plain(key)); n != nil && !n.there {
			n.there = true
			left -= n.sources
		}
	}
	for i := range e.renamed {
		n := &e.renamed[i]
		if n.to == line && r.Line != nil && line.source == nil || n.to.target || n.from.source != nil || !n.from.there {
			continue
		}
		n.from.source, n.to.target, any = n, true, true
	}
	return any
}
