// SPDX-License-Identifier: Apache-2.0

package record

import "maps"

// Shape is how a source's records differ from ours, so that what was built on another agent's records keeps working.
type Shape struct {
	// StdLine is the name of the member that holds a line of a standard stream, with its newline; empty means message,
	// without it.
	StdLine string
	// Time adds the member time: for a standard stream as @timestamp is, for a file in the machine's zone and without one.
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

// Shaped returns a Source like s, whose records have the shape. Members that the shape adds are Remora's: fields of an
// application don't overwrite them. A tag of the same name as one of Objects is kept, and Objects' is left out.
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
