// SPDX-License-Identifier: Apache-2.0

package format

import "github.com/remora-logs/remora/shared/record"

const (
	// maxKeys and maxKeyBytes bound the keys that are remembered between lines: it is a service that has a few dozens
	// which is to be fast, and one that makes up new ones all the time which is not to take memory.
	maxKeys     = 256
	maxKeyBytes = 8 << 10
)

// keys knows the names of the members of a stream's lines. Lines of one stream usually have the same members in the same
// order, so that each key points to the one that followed it last time: while that is right, one comparison with the
// line reads a key, and tells whether it is taken and whether it occurred before.
type keys struct {
	names   *names
	timeKey string
	known   map[string]*key
	bytes   int
	first   key  // precedes the first one
	last    *key // the one that was read last
	line    uint64
	scratch []byte
}

// key is the name of a member.
type key struct {
	text  string // as lines have it: in quotes, with a colon
	next  *key
	taken bool // the name is reserved
	time  bool // the member is the record's time
	// line is the number of the line in which it occurred last, and member the index that it had there.
	line   uint64
	member int
}

// begin starts a line.
func (k *keys) begin() {
	if k.known == nil {
		k.known = make(map[string]*key)
	}
	k.last = &k.first
	k.line++
}

// end forgets all keys if there are too many.
func (k *keys) end() {
	if len(k.known) > maxKeys || k.bytes > maxKeyBytes {
		k.known, k.bytes, k.first.next, k.last, k.scratch = nil, 0, nil, nil, nil
	}
}

// read reads the key that begins at i, with its colon, and returns the index behind that; -1 if there is none.
func (k *keys) read(s *scanner, i int) (*key, int) {
	if n := k.last.next; n != nil && len(s.p)-i >= len(n.text) && string(s.p[i:i+len(n.text)]) == n.text {
		k.last = n
		return n, i + len(n.text)
	}
	return k.search(s, i)
}

// search is read for a key that was not expected.
func (k *keys) search(s *scanner, i int) (*key, int) {
	if i >= len(s.p) || s.p[i] != '"' {
		return nil, s.fail("a member was expected", i)
	}
	unclean := s.unclean
	s.unclean = false
	end := s.text(i + 1)
	if end < 0 {
		return nil, end
	}
	colon := s.skip(end)
	if colon == len(s.p) || s.p[colon] != ':' {
		return nil, s.fail("a colon was expected", colon)
	}
	raw := s.p[i+1 : end-1]
	k.scratch = record.AppendUnescaped(k.scratch[:0], raw)
	plain := !s.unclean && len(k.scratch) == len(raw) // an escape is longer than what it stands for
	if s.unclean {
		k.scratch = appendClean(k.scratch[:0], s.p[i:end])
		k.scratch = record.AppendUnescaped(k.scratch[:0], k.scratch[1:len(k.scratch)-1])
	}
	s.unclean = s.unclean || unclean
	n := k.known[string(k.scratch)]
	if n == nil {
		n = k.add(k.scratch)
	}
	if plain {
		k.last.next = n
	}
	k.last = n
	return n, colon + 1
}

func (k *keys) add(name []byte) *key {
	n := &key{text: string(record.AppendBytes(nil, name)) + ":", taken: k.names.taken(name), time: string(name) == k.timeKey}
	k.known[string(name)] = n
	k.bytes += 2 * len(n.text)
	return n
}
