// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"log/slog"
	"strconv"
	"strings"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/timefmt"
)

// masker replaces secrets: in the line, and in every string and number of the fields, at any depth. A preset looks into
// the names of members, too, because objects are made with addresses for keys. An expression that has a quote in it was
// written with the JSON of a line in mind, and is also tried on the fields as they stand there.
//
// What a mask could not look through in time is replaced as a whole: it may hold what must not come out.
type masker struct {
	presets, exprs []mask
	whole          []mask // those of exprs that are tried on all of the fields
	taken          reserved
	again          *jsonParser // of fields that were changed as a whole
	plain          []byte      // what the string at hand says
	text, spare    []byte      // what masks make of it
	renamed        int         // members of the record at hand that got another name
}

// mask replaces what it finds: it appends text with the replacements to dst, or nothing if it finds nothing.
type mask interface {
	apply(dst, text []byte) (_ []byte, found bool)
}

// unsearched stands for what could not be looked through.
const unsearched = "[masked as a whole: it could not be searched in time]"

// exprMask is a mask that a declaration writes itself.
type exprMask struct {
	pattern     *guarded
	replacement string
}

func (m *exprMask) apply(dst, text []byte) ([]byte, bool) {
	if ok, err := m.pattern.match(text); err == nil && !ok {
		return dst, false
	}
	n := len(dst)
	dst, err := m.pattern.replace(dst, text, m.replacement)
	if err != nil {
		return append(dst[:n], unsearched...), true
	}
	return dst, true
}

func newMasker(masks []declare.Mask, taken reserved, log *slog.Logger) (*masker, error) {
	if len(masks) == 0 {
		return nil, nil
	}
	guess, err := timefmt.New("", "")
	if err != nil {
		return nil, err
	}
	m := &masker{taken: taken, again: &jsonParser{time: guess, keys: keys{
		timeKey: "\xff", // which no key is: keys are text
		taken:   func(key []byte) bool { return string(key) != "parse_error" && taken(key) }}}}
	for _, d := range masks {
		if d.Preset != "" {
			p, err := newPreset(d.Preset, d.Replacement)
			if err != nil {
				return nil, err
			}
			m.presets = append(m.presets, p)
			continue
		}
		g, err := newGuarded("mask", d.Expr, log)
		if err != nil {
			return nil, err
		}
		e := &exprMask{g, d.Replacement}
		m.exprs = append(m.exprs, e)
		if strings.Contains(d.Expr, `"`) {
			m.whole = append(m.whole, e)
		}
	}
	return m, nil
}

func (m *masker) apply(b *record.Batch, r *record.Record) {
	if r.Line != nil {
		if text, changed := m.search(r.Line, true); changed {
			r.Line = b.Hold(text)
		}
	}
	if len(r.Fields) > 0 {
		m.fields(b, r)
		m.wholeFields(b, r)
	}
	m.plain, m.text, m.spare = trimmed(m.plain), trimmed(m.text), trimmed(m.spare)
}

// search runs the masks over text, one after the other. The result is valid until the next call.
func (m *masker) search(text []byte, exprs bool) (_ []byte, changed bool) {
	run := func(masks []mask) {
		for _, one := range masks {
			out, hit := one.apply(m.spare[:0], text)
			if m.spare = out; hit {
				m.text, m.spare = m.spare, m.text
				text, changed = m.text, true
			}
		}
	}
	run(m.presets)
	if exprs {
		run(m.exprs)
	}
	return text, changed
}

// fields masks the strings and numbers of r's fields, and copies them only if there is something to mask.
func (m *masker) fields(b *record.Batch, r *record.Record) {
	at, a := len(b.Arena), b.Arena
	m.renamed = 0
	p, depth, done := r.Fields, 0, 0
	for i := 0; i < len(p); {
		end, key := i+tokenLength(p[i:]), false
		switch c := p[i]; {
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == '"':
			key = isKey(p[end:])
			fallthrough
		case c == '-' || isDigit(c):
			if text, hit := m.value(p[i:end], key, depth); hit {
				a = record.AppendBytes(append(a, p[done:i]...), text)
				done = end
			}
		}
		i = end
	}
	if done > 0 {
		a = append(a, p[done:]...)
		r.Fields, b.Arena = a[at:len(a):len(a)], a
	}
}

// tokenLength is the length of the token at the beginning of valid JSON: a string, a number or a word, or one other byte.
func tokenLength(p []byte) int {
	switch c := p[0]; {
	case c == '"':
		n := closing(p, 1) + 1
		if n <= 0 {
			n = len(p)
		}
		return n
	case c == '-' || isDigit(c):
		n := 1
		for n < len(p) && (isDigit(p[n]) || p[n] == '.' || p[n]|0x20 == 'e' || p[n] == '+' || p[n] == '-') {
			n++
		}
		return n
	}
	return 1
}

// isKey reports whether what follows a string makes a key of it.
func isKey(p []byte) bool {
	for _, c := range p {
		if c != ' ' && c != '\t' {
			return c == ':'
		}
	}
	return false
}

// value is what stands for a string or a number if a mask hits it. It is valid until the next search.
func (m *masker) value(word []byte, key bool, depth int) (text []byte, hit bool) {
	if text = word; word[0] == '"' {
		text = word[1 : len(word)-1]
	}
	if bytes.IndexByte(text, '\\') >= 0 {
		m.plain = record.AppendUnescaped(m.plain[:0], text)
		text = m.plain
	}
	if text, hit = m.search(text, !key); hit && key {
		text = m.name(text, depth)
	}
	return text, hit
}

// name makes a masked key one that its object does not have yet, and that is not Remora's.
func (m *masker) name(text []byte, depth int) []byte {
	if m.renamed++; m.renamed > 1 {
		text = strconv.AppendInt(append(text, ' '), int64(m.renamed), 10)
	}
	for depth == 0 && m.taken(text) {
		text = append(text, '_')
	}
	return text
}

// wholeFields tries on all of the fields those expressions that were written for JSON. If they leave no JSON behind, what
// they leave becomes the message.
func (m *masker) wholeFields(b *record.Batch, r *record.Record) {
	for _, one := range m.whole {
		out, hit := one.apply(append(m.text[:0], '{'), r.Fields)
		if !hit {
			continue
		}
		m.text = append(out, '}')
		masked := record.Record{Line: b.Hold(m.text), Source: r.Source, Time: r.Time}
		if p := m.again.parse(b, &masked); !p.keepsLine {
			r.Fields = masked.Fields
			continue
		}
		if r.Fields = nil; r.Line == nil {
			r.Line = masked.Line
		}
		p := problem{what: "a mask left no JSON"}
		p.addTo(b, r)
	}
}
