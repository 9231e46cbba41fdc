// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"log/slog"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

// editor adds, removes and renames fields, in this order. message is one of them: where the line stands for it, it is the
// line that is replaced, removed or made a field of another name.
type editor struct {
	added   []field
	removed map[string]struct{}
	renamed []renaming
	scratch []byte
}

// field is a member with its name and its value, and as JSON with a comma before it.
type field struct {
	name, value string
	json        []byte
}

type renaming struct {
	from, to string
	member   member // of to
	active   bool   // in the record at hand
}

// newEditor leaves out what would put a field in the place of one of the record's own, and tells log.
func newEditor(f declare.Filters, src *record.Source, log *slog.Logger) *editor {
	e := &editor{removed: make(map[string]struct{})}
	for _, p := range f.Add {
		if m := newMember(p.Key, src.Owns); m != "" {
			e.added = append(e.added, field{p.Key, p.Value, m.appendText(nil, []byte(p.Value))})
		} else {
			log.Warn("a field is not added, because records have one of that name", "field", p.Key)
		}
	}
	for _, name := range f.Remove {
		e.removed[name] = struct{}{}
	}
	for _, p := range f.Rename {
		if m := newMember(p.Value, src.Owns); m != "" {
			e.renamed = append(e.renamed, renaming{from: p.Key, to: p.Value, member: m})
		} else {
			log.Warn("a field is not renamed, because records have one of that name", "field", p.Key, "to", p.Value)
		}
	}
	if len(e.added)+len(e.removed)+len(e.renamed) == 0 {
		return nil
	}
	return e
}

func (e *editor) apply(b *record.Batch, r *record.Record) {
	if len(e.added) > 0 {
		e.add(b, r)
	}
	if len(e.removed) > 0 {
		e.remove(b, r)
	}
	if len(e.renamed) > 0 {
		e.rename(b, r)
	}
}

// add puts the fields behind those that are there. Of the same name there is only the one that was added.
func (e *editor) add(b *record.Batch, r *record.Record) {
	at := len(b.Arena)
	a := e.copy(b.Arena, r.Fields, func(name []byte) bool {
		for i := range e.added {
			if string(name) == e.added[i].name {
				return false
			}
		}
		return true
	})
	var replaced *field
	for i := range e.added {
		f := &e.added[i]
		if f.name == "message" && r.Line != nil {
			replaced = f
			continue
		}
		a = append(a, f.json...)
	}
	finish(b, r, a, at)
	if replaced != nil {
		r.Line = b.Hold([]byte(replaced.value))
	}
}

func (e *editor) remove(b *record.Batch, r *record.Record) {
	if _, ok := e.removed["message"]; ok {
		r.Line = nil
	}
	at := len(b.Arena)
	a := e.copy(b.Arena, r.Fields, func(name []byte) bool {
		_, ok := e.removed[string(name)]
		return !ok
	})
	finish(b, r, a, at)
}

// copy appends those members whose names pass.
func (e *editor) copy(a, fields []byte, pass func(name []byte) bool) []byte {
	for rest := fields; ; {
		key, value, next, ok := record.NextField(rest)
		if !ok {
			return a
		}
		if rest = next; pass(e.plain(key)) {
			a = appendMember(a, key, value)
		}
	}
}

// appendMember appends a member whose key and value are JSON already.
func appendMember(a, key, value []byte) []byte {
	a = append(append(a, `,"`...), key...)
	return append(append(a, `":`...), value...)
}

// plain is what key says. It is valid until the next call.
func (e *editor) plain(key []byte) []byte {
	if bytes.IndexByte(key, '\\') < 0 {
		return key
	}
	e.scratch = record.AppendUnescaped(e.scratch[:0], key)
	return e.scratch
}

// rename gives fields that are there their new names. A field that had such a name makes room; of two that get the same
// one, the later keeps its own. Nothing gets the name message while the line has it.
func (e *editor) rename(b *record.Batch, r *record.Record) {
	at := len(b.Arena)
	a, any := b.Arena, e.activate(r)
	if !any {
		return
	}
	if i := e.source([]byte("message")); i >= 0 && r.Line != nil {
		a = record.AppendBytes(append(a, e.renamed[i].member...), r.Line)
		r.Line = nil
	}
	for rest := r.Fields; ; {
		key, value, next, ok := record.NextField(rest)
		if !ok {
			break
		}
		rest = next
		name := e.plain(key)
		if i := e.source(name); i >= 0 {
			a = append(append(a, e.renamed[i].member...), value...)
		} else if !e.target(name) {
			a = appendMember(a, key, value)
		}
	}
	finish(b, r, a, at)
}

// activate decides which renamings apply to r.
func (e *editor) activate(r *record.Record) (any bool) {
	for i := range e.renamed {
		e.renamed[i].active = false
	}
	for i := range e.renamed {
		n := &e.renamed[i]
		if n.to == "message" && r.Line != nil && e.source([]byte("message")) < 0 || e.target([]byte(n.to)) || e.source([]byte(n.from)) >= 0 {
			continue
		}
		n.active = n.from == "message" && r.Line != nil || e.has(r.Fields, n.from)
		any = any || n.active
	}
	return any
}

func (e *editor) has(fields []byte, name string) bool {
	for rest := fields; ; {
		key, _, next, ok := record.NextField(rest)
		if !ok {
			return false
		}
		if rest = next; string(e.plain(key)) == name {
			return true
		}
	}
}

// source is the active renaming of name, -1 if there is none.
func (e *editor) source(name []byte) int {
	for i := range e.renamed {
		if e.renamed[i].active && string(name) == e.renamed[i].from {
			return i
		}
	}
	return -1
}

// target reports whether an active renaming leads to name.
func (e *editor) target(name []byte) bool {
	for i := range e.renamed {
		if e.renamed[i].active && string(name) == e.renamed[i].to {
			return true
		}
	}
	return false
}
