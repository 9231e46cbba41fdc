// SPDX-License-Identifier: Apache-2.0

package file

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/remora-logs/remora/shared/record"
)

// maxName is the longest part that a placeholder becomes. Linux takes names of 255 bytes; this leaves room for what
// stands around it and for what rotation appends.
const maxName = 128

// pattern is FILE_NAME taken apart: texts and the placeholders between them, len(texts) == len(keys)+1.
type pattern struct{ texts, keys []string }

func parsePattern(s string) (pattern, error) {
	var p pattern
	if s == "" || path.IsAbs(s) || strings.HasSuffix(s, "/") || path.Clean("/"+s) != "/"+s {
		return p, errors.New("it must be the name of a file below FILE_PATH, without .. and double slashes")
	}
	rest := s
	for {
		text, after, open := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return p, errors.New("a } without a {")
		}
		p.texts = append(p.texts, text)
		if !open {
			return p, nil
		}
		key, after, closed := strings.Cut(after, "}")
		if !closed || key == "" || strings.Contains(key, "{") {
			return p, fmt.Errorf("a { without the name of a tag and a } after it")
		}
		p.keys = append(p.keys, key)
		rest = after
	}
}

// appendName appends the name for records of s, relative to FILE_PATH.
func (p pattern) appendName(dst []byte, s *record.Source) []byte {
	for i, text := range p.texts {
		dst = append(dst, text...)
		if i < len(p.keys) {
			dst = appendPart(dst, value(s, p.keys[i]))
		}
	}
	return dst
}

func value(s *record.Source, key string) string {
	switch key {
	case "target":
		return s.Target
	case "declaration":
		return s.Declaration
	}
	for _, t := range s.Tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}

// appendPart makes of a tag's value, which whoever starts a container chooses, a piece of a file name that leads nowhere
// else: no slash, no dot in front, not empty.
func appendPart(dst []byte, v string) []byte {
	if v == "" {
		return append(dst, "none"...)
	}
	for i := 0; i < min(len(v), maxName); i++ {
		c := v[i]
		if c == '/' || c < 0x20 || c == 0x7f || i == 0 && c == '.' {
			c = '_'
		}
		dst = append(dst, c)
	}
	return dst
}
