// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"fmt"
	"slices"
	"strings"

	"github.com/remora-logs/remora/shared/checkpoint"
)

// memory is what the store knows of a stream that was not met yet since the start.
type memory struct {
	key   string
	mark  mark
	acked []acked
	met   bool
	// replaced says that its file is there, but was truncated since: what it held may be in a copy.
	replaced bool
}

// past is what the store knew at the start.
type past struct {
	streams []*memory
	inodes  map[inode][]*memory
	// declarations have been followed before.
	declarations map[string]bool
	// useless are entries that no file can be found again by. Those that a newer Remora wrote are not among them.
	useless []checkpoint.Key
}

// loadPast reads the store.
func loadPast(store Store) (*past, error) {
	p := &past{inodes: map[inode][]*memory{}, declarations: map[string]bool{}}
	streams := map[string]*memory{}
	err := store.Each(func(k checkpoint.Key, e checkpoint.Entry) {
		if !strings.HasPrefix(k.Stream, keyPrefix) {
			return
		}
		p.declarations[k.Declaration] = true
		mark, err := decodeMark(e.Mark)
		if err != nil {
			if len(e.Mark) == 0 || e.Mark[0] <= markVersion {
				p.useless = append(p.useless, k)
			}
			return
		}
		m := streams[k.Stream]
		if m == nil {
			m = &memory{key: k.Stream, mark: mark}
			streams[k.Stream] = m
			p.streams = append(p.streams, m)
		}
		if mark.off > m.mark.off {
			m.mark = mark
		}
		m.acked = append(m.acked, acked{viewID{k.Declaration, k.Output}, e.Low, e.Mark})
	})
	if err != nil {
		return nil, fmt.Errorf("read the checkpoints: %w", err)
	}
	// Of two generations of one inode the younger is tried first; keys of equal length sort by generation.
	slices.SortFunc(p.streams, func(a, b *memory) int {
		if len(a.key) != len(b.key) {
			return len(b.key) - len(a.key)
		}
		return strings.Compare(b.key, a.key)
	})
	for _, m := range p.streams {
		p.inodes[m.mark.id] = append(p.inodes[m.mark.id], m)
	}
	return p, nil
}

// recall finds the stream that a file was before the start; nil if it is a new one.
func (p *past) recall(a *arrival) (found *memory, err error) {
	for _, m := range p.inodes[a.inode] {
		if m.mark.btime != 0 && a.btime != 0 && m.mark.btime != a.btime {
			continue // the inode was given to another file
		}
		if m.mark.head.n == 0 && m.mark.btime == 0 && (a.size > 0 || !mayBecome(m.mark.path, a.path())) {
			continue // nothing was read of it, and nothing says that it is the same file
		}
		if found == nil && m.mark.packed == a.packed {
			same, err := m.provenBy(a.body, a.size)
			if err != nil {
				return nil, err
			}
			if same {
				found = m
				continue
			}
		}
		m.replaced = true
	}
	return found, nil
}

// provenBy tells whether c, of size bytes on the disk, holds what is known of the stream.
func (m *memory) provenBy(c content, size int64) (bool, error) {
	if m.mark.packed {
		if size != m.mark.size {
			return false, nil
		}
		return m.mark.head.holds(c)
	}
	if size < m.mark.off {
		return false, nil
	}
	return m.mark.holds(c)
}

// forget takes a stream out of what is still to be met.
func (p *past) forget(m *memory) {
	m.met = true
	p.streams = slices.DeleteFunc(p.streams, func(o *memory) bool { return o == m })
	rest := slices.DeleteFunc(p.inodes[m.mark.id], func(o *memory) bool { return o == m })
	if p.inodes[m.mark.id] = rest; len(rest) == 0 {
		delete(p.inodes, m.mark.id)
	}
}

// keys are the keys of the stream in the store.
func (m *memory) keys() []checkpoint.Key {
	var keys []checkpoint.Key
	for _, a := range m.acked {
		keys = append(keys, checkpoint.Key{Stream: m.key, Declaration: a.id.declaration, Output: a.id.output})
	}
	return keys
}

// file makes a file of the stream again. What is known of its content is what its mark says.
func (m *memory) file(f *file) error {
	f.key, f.path, f.head = m.key, m.mark.path, m.mark.head
	f.acked = slices.Clone(m.acked)
	if m.mark.packed {
		return nil
	}
	p, err := proofAt(f.body, m.mark.off)
	f.known = p
	return err
}
