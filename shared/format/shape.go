// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

// shaper changes an application's fields into a form that a store accepts:
//
//	decode   strings of these names that hold JSON are replaced by it
//	depth    deeper values become their JSON as text. A list without objects or lists in it counts as a plain value
//	numbers  text: numbers become strings
//	dots     the replacement of a dot in a name
type shaper struct {
	decode  [][]byte
	depth   int // 0 for no limit
	texts   bool
	dots    string // "" keeps dots
	names   *names
	scratch []byte
}

// newShaper returns the shaper of options; nil if they change nothing.
func newShaper(options map[string]string, n *names) (*shaper, error) {
	s := &shaper{texts: options["numbers"] == "text", dots: options["dots"], names: n}
	for _, name := range declare.SplitList(options["decode"]) {
		s.decode = append(s.decode, []byte(name))
	}
	if text := options["depth"]; text != "" {
		var err error
		if s.depth, err = strconv.Atoi(text); err != nil || s.depth < 1 {
			return nil, fmt.Errorf("format.depth: %q is not a whole number above zero", text)
		}
	}
	if len(s.decode) == 0 && s.depth == 0 && !s.texts && s.dots == "" {
		return nil, nil
	}
	return s, nil
}

func (s *shaper) apply(b *record.Batch, r *record.Record) {
	if len(r.Fields) == 0 {
		return
	}
	at, a := len(b.Arena), b.Arena
	for rest := r.Fields; ; {
		key, value, next, ok := record.NextField(rest)
		if !ok {
			break
		}
		rest = next
		a = append(s.key(append(a, ','), key), ':')
		if decoded := s.decoded(key, value); decoded != nil {
			value = decoded
		}
		a = s.value(a, value, 1)
	}
	s.scratch = trimmed(s.scratch)
	finish(b, r, a, at)
}

// decoded returns the JSON in a string whose name is in decode; nil if it holds none.
func (s *shaper) decoded(key, value []byte) []byte {
	if len(s.decode) == 0 || value[0] != '"' {
		return nil
	}
	name := s.names.plain(key)
	for _, d := range s.decode {
		if !bytes.Equal(d, name) {
			continue
		}
		text := record.AppendText(nil, value)
		scan := scanner{p: text}
		i := scan.skip(0)
		if i == len(text) || text[i] != '{' && text[i] != '[' {
			return nil
		}
		if end := scan.value(i, 0); end < 0 || scan.skip(end) < len(text) {
			return nil
		}
		return appendClean(nil, text)
	}
	return nil
}

// key appends a name in quotes.
func (s *shaper) key(a, key []byte) []byte {
	if s.dots == "" || bytes.IndexByte(key, '.') < 0 {
		return append(append(append(a, '"'), key...), '"')
	}
	s.names.found, s.names.twice = true, true // another field may have the resulting name
	name := bytes.ReplaceAll(s.names.plain(key), []byte("."), []byte(s.dots))
	return record.AppendBytes(a, name)
}

// value appends a value that is depth levels deep.
func (s *shaper) value(a, value []byte, depth int) []byte {
	switch c := value[0]; {
	case c == '-' || isDigit(c):
		if s.texts {
			return append(append(append(a, '"'), value...), '"')
		}
	case c == '{' || c == '[':
		if s.depth > 0 && depth >= s.depth && (c == '{' || bytes.ContainsAny(value[1:], "{[")) {
			return record.AppendBytes(a, value)
		}
		if c == '{' {
			return s.object(a, value, depth)
		}
		return s.list(a, value, depth)
	}
	return append(a, value...)
}

func (s *shaper) object(a, value []byte, depth int) []byte {
	var used usedNames
	if s.mayClash(value) {
		used.names = map[string]struct{}{}
	}
	a = append(a, '{')
	first := true
	for rest := value[1 : len(value)-1]; ; {
		key, value, next, ok := record.NextField(rest)
		if !ok {
			return append(a, '}')
		}
		if rest = next; !first {
			a = append(a, ',')
		}
		first = false
		a = append(s.keyIn(a, key, &used), ':')
		a = s.value(a, value, depth+1)
	}
}

// mayClash reports whether names in an object may become equal, because one of them holds a dot.
func (s *shaper) mayClash(object []byte) bool {
	if s.dots == "" || bytes.IndexByte(object, '.') < 0 {
		return false
	}
	for rest := object[1 : len(object)-1]; ; {
		key, _, next, ok := record.NextField(rest)
		if !ok {
			return false
		}
		if rest = next; bytes.IndexByte(key, '.') >= 0 {
			return true
		}
	}
}

// keyIn is key in an object whose names are in used, if any can occur twice. The second of two equal ones gets app_ before it,
// as at the record's root.
func (s *shaper) keyIn(a, key []byte, used *usedNames) []byte {
	if used.names == nil {
		return append(append(append(a, '"'), key...), '"')
	}
	name := bytes.ReplaceAll(s.names.plain(key), []byte("."), []byte(s.dots))
	if used.second(name) {
		name = used.free(name, nil)
	}
	return record.AppendBytes(a, name)
}

func (s *shaper) list(a, value []byte, depth int) []byte {
	a = append(a, '[')
	scan := scanner{p: value}
	for i := scan.skip(1); i < len(value) && value[i] != ']'; {
		end := scan.value(i, 0)
		if end < 0 { // unreachable: value is valid
			break
		}
		a = s.value(a, value[i:end], depth+1)
		if i = scan.skip(end); i < len(value) && value[i] == ',' {
			a = append(a, ',')
			i = scan.skip(i + 1)
		}
	}
	return append(a, ']')
}

// wrap puts the fields of r below one member, except those that were added and Remora's parse_error.
func (c *Chain) wrap(b *record.Batch, r *record.Record) {
	at, a := len(b.Arena), b.Arena
	inside := 0
	if c.names.used = (usedNames{}); c.names.twice {
		c.names.used.names = c.names.all(r.Fields)
	}
	outside := func(name []byte) bool {
		return c.edits != nil && c.edits.isAdded.has(name) || c.names.ours && string(name) == "parse_error"
	}
	for _, out := range []bool{true, false} {
		for rest := r.Fields; ; {
			key, value, next, ok := record.NextField(rest)
			if !ok {
				break
			}
			if rest = next; outside(c.names.plain(key)) != out {
				continue
			}
			if out {
				a = appendMember(a, key, value)
				continue
			}
			if inside++; inside == 1 {
				a = append(append(a, c.into...), '{')
			} else {
				a = append(a, ',')
			}
			if name := c.names.plain(key); c.names.second(name) {
				a = append(record.AppendBytes(a, c.names.free(name)), ':')
			} else {
				a = append(append(append(a, '"'), key...), `":`...)
			}
			a = append(a, value...)
		}
	}
	if inside > 0 {
		a = append(a, '}')
	}
	finish(b, r, a, at)
}

// newInto returns the member of format.into; empty for none.
func newInto(options map[string]string, n *names) (member, error) {
	name := strings.TrimSpace(options["into"])
	if name == "" {
		return "", nil
	}
	if n.src.Owns([]byte(name)) || name == "message" {
		return "", fmt.Errorf("format.into: records have a member %q", name)
	}
	return newMember(name), nil
}
