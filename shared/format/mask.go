package format

import (
	"bytes"
	"log/slog"
	"strconv"
	"strings"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/format/timefmt"
	"github.com/remora-logs/remora/shared/record"
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
	text           []byte      // of the string at hand
	spare          []byte
	renamed        int // members of the record at hand that got another name
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
	m.text, m.spare = trimmed(m.text), trimmed(m.spare)
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

// fields masks the strings and numbers of r's fields.
func (m *masker) fields(b *record.Batch, r *record.Record) {
	at, a := len(b.Arena), b.Arena
	m.renamed = 0
	changed := false
	for p, depth := r.Fields, 0; len(p) > 0; {
		n := tokenLength(p)
		word, key := p[:n], false
		switch c := p[0]; {
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == '"':
			key = isKey(p[n:])
			fallthrough
		case c == '-' || isDigit(c):
			if out, hit := m.value(a, word, key, depth); hit {
				a, p, changed = out, p[n:], true
				continue
			}
		}
		a, p = append(a, word...), p[n:]
	}
	b.Arena = a
	if !changed {
		b.Arena = a[:at]
		return
	}
	r.Fields = a[at:len(a):len(a)]
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

// value appends a string or a number, masked, if a mask hits it.
func (m *masker) value(a, word []byte, key bool, depth int) ([]byte, bool) {
	at, said := len(a), word
	if word[0] == '"' {
		said = word[1 : len(word)-1]
	}
	if bytes.IndexByte(said, '\\') >= 0 {
		a = record.AppendUnescaped(a, said) // for the time of the search
		said = a[at:]
	}
	text, hit := m.search(said, !key)
	if a = a[:at]; !hit {
		return a, false
	}
	if key {
		text = m.name(text, depth)
	}
	return record.AppendBytes(a, text), true
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
