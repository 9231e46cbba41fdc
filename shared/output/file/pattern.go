// SPDX-License-Identifier: Apache-2.0

package file

import (
	"errors"
	"path"
	"strings"

	"github.com/remora-logs/remora/shared/output/internal/template"
	"github.com/remora-logs/remora/shared/record"
)

// maxName is the longest part that a placeholder becomes. Linux takes names of 255 bytes; this leaves room for the
// text around it and for what rotation appends.
const maxName = 128

// pattern is FILE_NAME taken apart.
type pattern struct{ template.Template }

func parsePattern(s string) (p pattern, err error) {
	if s == "" || path.IsAbs(s) || strings.HasSuffix(s, "/") || path.Clean("/"+s) != "/"+s {
		return p, errors.New("it must be the name of a file below FILE_PATH, without .. and double slashes")
	}
	p.Template, err = template.Parse(s)
	return p, err
}

// appendName appends the name for records of s, relative to FILE_PATH.
func (p pattern) appendName(dst []byte, s *record.Source) []byte { return p.Append(dst, s, appendPart) }

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
