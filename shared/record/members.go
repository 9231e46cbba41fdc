// SPDX-License-Identifier: Apache-2.0

package record

// Members holds the names of a record's members that are Remora's own, under the source's schema and shape. It serves outputs
// whose records are not JSON objects.
type Members struct {
	// Line is the name of the line, by Std. Newline reports whether the line ends in its newline there, unless it was truncated.
	Line    [3]string
	Newline [3]bool
	// Time is the name of a member with the record's time as AppendShapeTime formats it; empty for none.
	Time                              string
	Offset, Truncated, Stream, Source string
	// Without says which of them the records lack.
	Without Without
}

// Without says which of Remora's members the records lack.
type Without struct{ Source, Offset, Stream bool }

// Less returns a copy of s whose records lack the members in w.
func (s *Source) Less(w Without) *Source {
	c := *s
	c.members.Without = w
	c.encode()
	return &c
}

// Members returns the names. The caller must not change them.
func (s *Source) Members() *Members { return &s.members }

// TagName returns the name that records have for the tag key.
func (s *Source) TagName(key string) string { return s.name(key) }

func (s *Source) nameMembers() {
	m := Members{Without: s.members.Without, Offset: s.name("offset"), Truncated: s.name("truncated"), Stream: s.name("stream"), Source: s.name("source")}
	for std := range m.Line {
		m.Line[std] = "message"
		if Std(std) != NoStd && s.shape.StdLine != "" {
			m.Line[std], m.Newline[std] = s.shape.StdLine, true
		}
	}
	if s.shape.Time {
		m.Time = "time"
	}
	s.members = m
}

// AppendLine appends the line in the form of the member Line: with its newline if Newline says so.
func (r *Record) AppendLine(dst []byte) []byte {
	dst = append(dst, r.Line...)
	if r.Source.members.Newline[r.Std] && !r.Truncated {
		dst = append(dst, '\n')
	}
	return dst
}
