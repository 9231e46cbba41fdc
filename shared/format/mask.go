// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"log/slog"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/timefmt"
)

// masker replaces secrets in the line and in every string and number of the fields, at any depth. A preset also searches the
// names of members, because some objects have addresses as keys. An expression that holds a quote was written for the JSON of
// a line, and is also applied to the fields as a whole.
//
// A text that a mask could not search in time is replaced as a whole, because it may hold what must not come out. A record
// that masks make too long is cut and marked as truncated.
type masker struct {
	presets, exprs []mask
	whole          []mask // those of exprs that are applied to the fields as a whole
	names          *names
	again          *jsonParser // parses fields that were changed as a whole
	plain          []byte      // the current string, decoded
	text, spare    []byte      // the result of masks, and its next
	renamed        int         // members of the current record that were renamed
}

// mask replaces what it finds: it appends text with the replacements to dst, or nothing if it finds nothing. It stops after
// limit bytes, and then reports that the result is cut: the text after that was not searched.
type mask interface {
	apply(dst, text []byte, limit int) (_ []byte, found, cut bool)
}

// margin is how many bytes are removed from the end of a text that was cut: they may hold the beginning of a secret that the
// mask could not recognise.
const margin = 4 << 10

// unsearched replaces a text that could not be searched.
const unsearched = "[masked as a whole: it could not be searched in time]"

// exprMask is a mask that a declaration writes itself.
type exprMask struct {
	pattern     *guarded
	replacement string
}

func (m *exprMask) apply(dst, text []byte, limit int) (_ []byte, found, cut bool) {
	if ok, err := m.pattern.match(text); err == nil && !ok {
		return dst, false, false
	}
	n := len(dst)
	dst, cut, err := m.pattern.replace(dst, text, m.replacement, limit)
	if err != nil {
		return append(dst[:n], unsearched...), true, false
	}
	return dst, true, cut
}

func newMasker(masks []declare.Mask, n *names, log *slog.Logger) (*masker, error) {
	if len(masks) == 0 {
		return nil, nil
	}
	guess, err := timefmt.New("", "")
	if err != nil {
		return nil, err
	}
	m := &masker{names: n, again: &jsonParser{time: guess, keys: keys{names: n, timeKey: "\xff"}}} // no key is that, because keys are UTF-8
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

// apply masks r, and keeps its line and fields together within limit.
func (m *masker) apply(b *record.Batch, r *record.Record, limit int) {
	if r.Line != nil {
		if text, changed, cut := m.search(r.Line, true, limit); changed {
			r.Line = b.Hold(text)
			r.Truncated = r.Truncated || cut
		}
	}
	if len(r.Fields) > 0 {
		m.fields(b, r, limit-len(r.Line))
		m.wholeFields(b, r, limit)
	}
	m.plain, m.text, m.spare = trimmed(m.plain), trimmed(m.text), trimmed(m.spare)
}

// search applies the masks to text, one after the other. The result has at most limit bytes, and is valid until the next call.
func (m *masker) search(text []byte, exprs bool, limit int) (_ []byte, changed, cut bool) {
	run := func(masks []mask) {
		for _, one := range masks {
			out, hit, over := one.apply(m.spare[:0], text, limit+margin)
			if m.spare = out; hit {
				m.text, m.spare = m.spare, m.text
				text, changed, cut = m.text, true, cut || over
			}
		}
	}
	run(m.presets)
	if exprs {
		run(m.exprs)
	}
	if changed && (cut || len(text) > limit) {
		text, cut = cutText(text, min(limit, max(0, len(text)-margin))), true
	}
	return text, changed, cut
}

// cutText returns the first n bytes of text, without a part of a character at the end.
func cutText(text []byte, n int) []byte {
	for back := range min(n, utf8.UTFMax) {
		if n == len(text) || utf8.RuneStart(text[n-back]) {
			return text[:n-back]
		}
	}
	return text[:n]
}

// fields masks the strings and numbers of r's fields, which it copies only if there is something to mask. It leaves out
// members beyond limit.
func (m *masker) fields(b *record.Batch, r *record.Record, limit int) {
	m.renamed = 0
	c := memberCopy{p: r.Fields, a: b.Arena, at: len(b.Arena), limit: limit}
	for i, depth := 0, 0; i < len(c.p) && !c.cut; {
		end, key := i+tokenLength(c.p[i:]), false
		switch t := c.p[i]; {
		case t == '{' || t == '[':
			depth++
		case t == '}' || t == ']':
			depth--
		case t == ',' && depth == 0:
			c.next(i)
		case t == '"':
			key = isKey(c.p[end:])
			fallthrough
		case t == '-' || isDigit(t):
			if text, hit, cut := m.value(c.p[i:end], key, depth, limit); hit {
				c.replace(i, end, text, cut)
			}
		}
		i = end
	}
	if !c.changed {
		return
	}
	c.next(len(c.p))
	b.Arena = c.a
	if r.Fields = nil; len(c.a) > c.at {
		r.Fields = c.a[c.at:len(c.a):len(c.a)]
	}
	r.Truncated = r.Truncated || c.cut
}

// memberCopy copies the members of fields, some of them changed. It copies whole members, up to a limit.
type memberCopy struct {
	p, a    []byte
	at      int // the copy begins at a[at]
	limit   int
	done    int // p[:done] is copied
	begin   int // of the current member in p, with the comma before it
	keep    int // the length of a before the current member, if that was changed
	dirty   bool
	changed bool
	cut     bool // the limit was reached, so nothing is added
}

// replace replaces p[i:end] by text as JSON; cut means that text is not whole.
func (c *memberCopy) replace(i, end int, text []byte, cut bool) {
	if !c.changed {
		c.changed, c.keep = true, c.at
	}
	if !c.dirty {
		c.a = append(c.a, c.p[c.done:c.begin]...)
		c.done, c.keep, c.dirty = c.begin, len(c.a), true
	}
	c.a = record.AppendBytes(append(c.a, c.p[c.done:i]...), text)
	if c.done = end; cut || len(c.a)-c.at > c.limit {
		c.drop()
	}
}

// next ends the current member before p[i].
func (c *memberCopy) next(i int) {
	if c.cut {
		return
	}
	if c.changed && len(c.a)-c.at+i-c.done > c.limit {
		c.drop()
		return
	}
	if c.changed && (c.dirty || i == len(c.p)) {
		c.a = append(c.a, c.p[c.done:i]...)
		c.done = i
	}
	c.begin, c.dirty = i, false
}

// drop leaves out the current member and all after it.
func (c *memberCopy) drop() {
	if c.cut = true; c.dirty {
		c.a = c.a[:c.keep]
	} else {
		c.a = append(c.a, c.p[c.done:c.begin]...)
	}
	if len(c.a) > c.at && c.a[len(c.a)-1] == ',' {
		c.a = c.a[:len(c.a)-1]
	}
}

// tokenLength returns the length of the token at the beginning of valid JSON: a string, a number or a word, or one other byte.
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

// isKey reports whether p, which follows a string, makes that string a key.
func isKey(p []byte) bool {
	for _, c := range p {
		if c != ' ' && c != '\t' {
			return c == ':'
		}
	}
	return false
}

// value returns the masked text of a string or a number, if a mask hits it. The result is valid until the next search.
func (m *masker) value(word []byte, key bool, depth, limit int) (text []byte, hit, cut bool) {
	if text = word; word[0] == '"' {
		text = word[1 : len(word)-1]
	}
	if bytes.IndexByte(text, '\\') >= 0 {
		m.plain = record.AppendUnescaped(m.plain[:0], text)
		text = m.plain
	}
	if text, hit, cut = m.search(text, !key, limit); hit && key {
		text = m.name(text, depth)
	}
	return text, hit, cut
}

// name adds a number to a masked key, so that two keys of an object do not become one. For the record's own fields, names
// resolves remaining conflicts.
func (m *masker) name(text []byte, depth int) []byte {
	if m.renamed++; m.renamed > 1 {
		text = strconv.AppendInt(append(text, ' '), int64(m.renamed), 10)
	}
	if depth == 0 {
		m.names.found, m.names.twice = true, true
	}
	return text
}

// wholeFields applies the expressions written for JSON to the fields as a whole. If the result is not JSON, it becomes the
// message, to which all masks are applied again.
func (m *masker) wholeFields(b *record.Batch, r *record.Record, limit int) {
	for _, one := range m.whole {
		room := max(0, limit-len(r.Line))
		out, hit, cut := one.apply(append(m.text[:0], '{'), r.Fields, room+margin)
		if !hit {
			continue
		}
		cut = cut || len(out)-1 > room
		m.text = append(out, '}')
		masked := record.Record{Line: b.Hold(m.text), Source: r.Source, Time: r.Time}
		if !cut {
			if p := m.again.parse(b, &masked); !p.keepsLine {
				r.Fields = masked.Fields
				continue
			}
		}
		if r.Fields = nil; r.Line == nil {
			text, _, more := m.search(masked.Line, true, limit)
			if cut = cut || more; cut {
				text = cutText(text, max(0, min(limit, len(text)-margin)))
			}
			r.Line = b.Hold(text)
		}
		r.Truncated = r.Truncated || cut
		p := problem{what: "a mask left no JSON"}
		p.addTo(b, r, m.names)
		return
	}
}
