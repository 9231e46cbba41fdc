// SPDX-License-Identifier: Apache-2.0

package file

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/output/internal/template"
	"github.com/remora-logs/remora/shared/record"
)

// maxName bounds the value of a placeholder, in bytes. Linux allows names of 255 bytes; this leaves room for the text around
// it and for what rotation appends.
const maxName = 128

// pattern is FILE_NAME parsed.
type pattern struct {
	template template.Template
	dates    map[string]template.Date // of those placeholders that are dates
	zone     *time.Location           // of the dates
}

// tagName matches the names of tags.
var tagName = regexp.MustCompile(`^[A-Za-z0-9_@][A-Za-z0-9_@./-]*$`)

func parsePattern(s string, zone *time.Location) (p pattern, err error) {
	if s == "" || path.IsAbs(s) || strings.HasSuffix(s, "/") || path.Clean("/"+s) != "/"+s {
		return p, errors.New("it must be the name of a file below FILE_PATH, without .. and double slashes")
	}
	p = pattern{dates: map[string]template.Date{}, zone: zone}
	if p.template, err = template.Parse(s); err != nil {
		return p, err
	}
	for _, key := range p.template.Keys() {
		if date, ok := template.ParseDate(key); ok {
			p.dates[key] = date
		} else if strings.Contains(strings.ToLower(key), "yyyy") || !tagName.MatchString(key) {
			return p, fmt.Errorf("{%s} is neither the name of a tag nor a date made of yyyy, MM, dd, HH, YYYY, ww", key)
		}
	}
	return p, nil
}

// period returns the number of the period of ns, within which all records of a source go to the same file.
func (p *pattern) period(ns int64) int64 {
	if len(p.dates) == 0 {
		return 0
	}
	return template.Period(ns)
}

// appendName appends the name for records of s at ns, relative to FILE_PATH.
func (p *pattern) appendName(dst []byte, s *record.Source, ns int64) []byte {
	return p.template.AppendWith(dst, func(dst []byte, key string) []byte {
		if date, ok := p.dates[key]; ok {
			return appendPart(dst, date.Format(time.Unix(0, ns).In(p.zone)))
		}
		return appendPart(dst, template.Value(s, key))
	})
}

// appendPart appends a tag's value, which the user who starts a container chooses, as a part of a file name that can't lead
// elsewhere: without slashes, without a leading dot, and not empty.
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
