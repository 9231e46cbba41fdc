// SPDX-License-Identifier: Apache-2.0

package record

// Members are the names of a record's members that are Remora's own, under the source's schema and shape: for outputs whose
// records are no JSON objects.
type Members struct {
	// Line is the name of the line, by Std. Newline says that the line has its newline there, unless it was cut.
	Line    [3]string
	Newline [3]bool
	// Time is the name of a text with the record's time, as AppendShapeTime appends it; empty for none.
	Time                              string
	Offset, Truncated, Stream, Source string
	// Without are those that records don't carry.
	Without Without
}

// Without are members of Remora's that records don't carry, because nobody wants them.
type Without struct{ Source, Offset, Stream bool }

// Less returns a Source like s, whose records don't have these members.
func (s *Source) Less(w Without) *Source {
	c := *s
	c.members.Without = w
	c.encode()
	return &c
}

// Members returns the names. They are not to be changed.
func (s *Source) Members() *Members { return &s.members }

// TagName is the name under which records carry a tag.
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

// AppendLine appends the line as the member Line has it.
func (r *Record) AppendLine(dst []byte) []byte {
	dst = append(dst, r.Line...)
	if r.Source.members.Newline[r.Std] && !r.Truncated {
		dst = append(dst, '\n')
	}
	return dst
}
