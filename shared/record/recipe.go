// SPDX-License-Identifier: Apache-2.0

package record

import "slices"

// Recipe holds all that a Source was made of. Records on disk carry it, so that another process sends them as this one would
// have, whatever the settings are then.
type Recipe struct {
	Stream, Declaration, Path string
	Target, Index, Topic      string
	Pipeline                  string
	Store                     Store
	// Tags and Origin are the source's. Names maps those of Remora's members, including tags, that have another name in the
	// record: Key is the member, and Value its name in the record.
	Tags   []Tag
	Origin int
	Names  []Tag
	Shape  Shape
	// Without says which members the records lack.
	Without Without
	// Container and Writer are what SetContainer and SetWriter set.
	Container, Writer string
}

// Recipe returns what s was made of. The caller must not change its slices.
func (s *Source) Recipe() Recipe {
	r := Recipe{Stream: s.Stream, Declaration: s.Declaration, Path: s.Path, Target: s.Target, Index: s.Index, Topic: s.Topic,
		Pipeline: s.Pipeline, Store: s.Store, Tags: s.Tags, Origin: s.Origin, Shape: s.shape, Without: s.members.Without, Container: s.container, Writer: s.writer}
	note := func(member string) {
		if name := s.name(member); name != member {
			r.Names = append(r.Names, Tag{Key: member, Value: name})
		}
	}
	for _, member := range ownMembers {
		note(member)
	}
	for _, t := range s.Tags {
		note(t.Key)
	}
	return r
}

// Source returns a Source whose records are encoded like those of the one that r describes. Origin must be between 0 and the
// number of tags.
func (r *Recipe) Source() *Source {
	declared := len(r.Tags) - r.Origin
	s := NewSource(r.Stream, r.Declaration, r.Path, r.Target, r.Tags[:declared], r.Tags[declared:])
	s.Index, s.Topic, s.Pipeline, s.Store, s.container, s.writer = r.Index, r.Topic, r.Pipeline, r.Store, r.Container, r.Writer
	if len(r.Names) > 0 {
		names := slices.Clone(r.Names)
		s = s.Renamed(func(member string) string {
			for _, n := range names {
				if n.Key == member {
					return n.Value
				}
			}
			return member
		})
	}
	if r.Without != (Without{}) {
		s = s.Less(r.Without)
	}
	if r.Shape.StdLine != "" || r.Shape.Time || len(r.Shape.Objects) > 0 {
		s = s.Shaped(r.Shape)
	}
	return s
}
