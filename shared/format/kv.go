// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"slices"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/timefmt"
)

// kvParser parses pairs into fields, a=1 b="two words". All values are strings. Words that are not pairs stay in the message.
// The format logfmt has a blank between pairs, an equals sign within them, and quotes with backslash escapes; kv lets these be
// chosen.
type kvParser struct {
	pair, separator, quote byte
	time                   *timefmt.Parser
	timeKey                string
	timed                  bool // timeKey is declared
	names                  *names

	// Of the current line.
	words   []byte
	keys    [][]byte
	scratch []byte
	ns      int64
	badTime bool
}

func newKV(options map[string]string, n *names) (*kvParser, error) {
	p := &kvParser{pair: ' ', separator: '=', quote: '"', names: n, timeKey: timeKey(options)}
	for _, o := range []struct {
		option string
		to     *byte
	}{{"pair", &p.pair}, {"separator", &p.separator}, {"quote", &p.quote}} {
		if text := options[o.option]; text != "" {
			c, err := declare.ParseSeparator(text)
			if err != nil {
				return nil, err
			}
			*o.to = c
		}
	}
	if p.timed = p.timeKey != ""; !p.timed {
		p.timeKey = "@timestamp"
	}
	var err error
	p.time, err = newTime(options)
	return p, err
}

// parse implements parser.
func (p *kvParser) parse(b *record.Batch, r *record.Record) problem {
	b.Arena = slices.Grow(b.Arena, 2*len(r.Line)+256)
	p.words, p.keys, p.ns, p.badTime = p.words[:0], p.keys[:0], r.Time, false
	at := len(b.Arena)
	a := p.pairs(b.Arena, r.Line, r.Time)
	if len(p.keys) == 0 {
		return unparsed("no pair was found", 0)
	}
	finish(b, r, a, at)
	return p.end(b, r)
}

// end sets the time, and makes the words that are left the line.
func (p *kvParser) end(b *record.Batch, r *record.Record) problem {
	r.Time = p.ns
	found := problem{}
	if p.badTime && p.timed {
		found = badTime
	}
	if len(p.words) > 0 && !p.names.keepLine {
		r.Line, found.keepsLine = b.Hold(p.words), true
	}
	p.words, p.scratch = trimmed(p.words), trimmed(p.scratch)
	if cap(p.keys) > maxKeys {
		p.keys = nil
	}
	return found
}

// pairs appends the members of line, and collects its words.
func (p *kvParser) pairs(a, line []byte, ref int64) []byte {
	for i := 0; i < len(line); {
		if c := line[i]; c == p.pair || c == ' ' || c == '\t' || c == '\n' || c == '\r' {
			i++
			continue
		}
		end := p.keyEnd(line, i)
		if end < 0 {
			i = p.word(line, i)
			continue
		}
		key := line[i:end]
		value, next, ok := p.value(line, end+1)
		if !ok {
			i = p.word(line, i)
			continue
		}
		a = p.add(a, key, value, ref)
		i = next
	}
	return a
}

// keyEnd returns the end of the key that begins at i, before its separator; -1 if there is none.
func (p *kvParser) keyEnd(line []byte, i int) int {
	start := i
	for i < len(line) && isKeyByte[line[i]] && line[i] != p.separator && line[i] != p.pair {
		i++
	}
	if i == start || i == len(line) || line[i] != p.separator || bytes.Contains(line[start:i], []byte("//")) {
		return -1
	}
	return i
}

// isKeyByte holds the bytes of keys. A URL with a query is not a key.
var isKeyByte = func() (set [256]bool) {
	for c := range set {
		set[c] = isAlnum(byte(c)) || c >= 0x80
	}
	for _, c := range []byte("_.-@/[]$#%") {
		set[c] = true
	}
	return set
}()

// value parses the value that begins at i: in quotes, or up to the end of the pair. ok is false if a quote is not closed.
func (p *kvParser) value(line []byte, i int) (value []byte, next int, ok bool) {
	if i < len(line) && line[i] == p.quote {
		return p.quoted(line, i+1)
	}
	end := i
	for end < len(line) && line[end] != p.pair && (p.pair != ' ' || line[end] != '\t' && line[end] != '\n') {
		end++
	}
	return bytes.TrimRight(line[i:end], " \t\r"), end, true
}

// quoted parses a value whose inside begins at i. The pair must end after its closing quote.
func (p *kvParser) quoted(line []byte, i int) (value []byte, next int, ok bool) {
	for n := i; n < len(line); n++ {
		switch line[n] {
		case '\\':
			n++
		case p.quote:
			if n+1 < len(line) && line[n+1] != p.pair && line[n+1] != ' ' && line[n+1] != ',' {
				return nil, 0, false
			}
			value = line[i:n]
			if bytes.IndexByte(value, '\\') >= 0 {
				p.scratch = record.AppendUnescaped(p.scratch[:0], value)
				value = p.scratch
			}
			return value, n + 1, true
		}
	}
	return nil, 0, false
}

// word collects the word that begins at i, and returns its end.
func (p *kvParser) word(line []byte, i int) (end int) {
	end = i + 1
	for end < len(line) && line[end] != p.pair && line[end] != ' ' {
		end++
	}
	if len(p.words) > 0 {
		p.words = append(p.words, ' ')
	}
	p.words = append(p.words, line[i:end]...)
	return end
}

// add appends a member, or makes it the record's time.
func (p *kvParser) add(a, key, value []byte, ref int64) []byte {
	if string(key) == p.timeKey {
		ns, ok := p.time.Parse(value, ref)
		if p.badTime = !ok; ok {
			p.ns = ns
			p.keys = append(p.keys, nil)
			return a
		}
	}
	n := p.names
	n.found = n.found || n.taken(key)
	if n.twice = n.twice || len(p.keys) > 64; !n.twice {
		n.twice = slices.ContainsFunc(p.keys, func(other []byte) bool { return bytes.Equal(other, key) })
	}
	n.found = n.found || n.twice
	p.keys = append(p.keys, key)
	a = record.AppendBytes(append(a, ','), key)
	return record.AppendBytes(append(a, ':'), value)
}
