// SPDX-License-Identifier: Apache-2.0

package format

import "github.com/remora-logs/remora/shared/record"

const (
	// maxKeys and maxKeyBytes bound the keys that are cached between lines. A service with a few dozen keys is to be fast, and
	// one that makes up new keys all the time is not to take memory.
	maxKeys     = 256
	maxKeyBytes = 8 << 10
)

// keys caches the names of the members of a stream's lines. Lines of a stream usually have the same members in the same order,
// so each key points to the one that followed it last time. If that is right, one comparison with the line reads a key, and
// shows whether it is taken and whether it occurred before.
type keys struct {
	names   *names
	timeKey string
	known   map[string]*key
	bytes   int
	first   key  // a sentinel before the first one
	last    *key // the last one read
	line    uint64
	scratch []byte
}

// key is the name of a member.
type key struct {
	text  string // its usual JSON form: in quotes, with a colon
	next  *key
	taken bool // the name is reserved
	time  bool // the member is the record's time
	// line is the number of the last line in which it occurred, and member its index there.
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

// read parses the key that begins at i, with its colon, and returns it and the index after the colon; nil and -1 if there is
// none.
func (k *keys) read(s *scanner, i int) (*key, int) {
	if n := k.last.next; n != nil && len(s.p)-i >= len(n.text) && string(s.p[i:i+len(n.text)]) == n.text {
		k.last = n
		return n, i + len(n.text)
	}
	return k.search(s, i)
}

// search is read for a key other than the expected one.
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
