// SPDX-License-Identifier: Apache-2.0

package record

import "maps"

// Shape describes how a source's records differ from Remora's own, so that what was built on another agent's records keeps
// working.
type Shape struct {
	// StdLine is the name of the member that holds a line of a standard stream, with its newline. Empty means "message",
	// without the newline.
	StdLine string
	// Time adds the member "time": for a standard stream in the form of @timestamp, for a file in the machine's zone without one.
	Time bool
	// Objects are members of every record. Their values are JSON.
	Objects []Tag
}

// holds reports whether key, with dots in it, names something in one of the shape's objects: stores take beat.name for a
// member of beat.
func (s *Shape) holds(key []byte) bool {
	for _, o := range s.Objects {
		if n := len(o.Key); len(key) > n && key[n] == '.' && string(key[:n]) == o.Key {
			return true
		}
	}
	return false
}

// Shaped returns a copy of s whose records have the shape. The members that the shape adds are owned: an application's fields
// don't overwrite them. If a tag has the name of one of Objects, the tag is kept and the object is left out.
func (s *Source) Shaped(shape Shape) *Source {
	c := *s
	c.own = maps.Clone(s.own)
	c.shape = Shape{StdLine: shape.StdLine, Time: shape.Time}
	for _, o := range shape.Objects {
		if c.claim(o.Key) {
			c.shape.Objects = append(c.shape.Objects, o)
		}
	}
	if shape.StdLine != "" && !c.claim(shape.StdLine) {
		c.shape.StdLine = ""
	}
	if shape.Time {
		c.shape.Time = c.claim("time")
	}
	c.encode()
	return &c
}
