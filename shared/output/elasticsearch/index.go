// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/output/internal/template"
	"github.com/remora-logs/remora/shared/record"
)

// pattern is ELASTICSEARCH_INDEX parsed.
type pattern struct {
	parts []part
	zone  *time.Location // of the dates
	dated bool           // there are dates
}

type part struct {
	text  string
	tag   string // a placeholder: target, or the name of a tag
	dated bool   // a placeholder: date
	date  template.Date
}

// filebeatTag matches a placeholder in Filebeat's form: %{[index]}.
var filebeatTag = regexp.MustCompile(`%\{\[([A-Za-z0-9_]+)\]\}`)

// tagName matches a tag in a placeholder. It must have an underscore, so that a misspelt {target} is an error.
var tagName = regexp.MustCompile(`^[A-Za-z0-9]+(_[A-Za-z0-9]+)+$`)

func parseIndex(s string, zone *time.Location) (pattern, error) {
	p := pattern{zone: zone}
	rest := filebeatTag.ReplaceAllString(s, "{$1}")
	rest = strings.ReplaceAll(rest, "%{+", "{") // a date in Filebeat's form
	for rest != "" {
		text, after, open := strings.Cut(rest, "{")
		if text != "" {
			p.parts = append(p.parts, part{text: text})
		}
		if !open {
			break
		}
		word, after, closed := strings.Cut(after, "}")
		if !closed {
			return p, errors.New("a { without a } after it")
		}
		rest = after
		switch {
		case word == "target" || word == "index" || tagName.MatchString(word):
			p.parts = append(p.parts, part{tag: word})
		default:
			date, ok := template.ParseDate(word)
			if ok {
				p.parts, p.dated = append(p.parts, part{dated: true, date: date}), true
				continue
			}
			return p, fmt.Errorf("{%s} is neither {target}, nor a tag such as {k8s_pod_namespace}, nor a date made of yyyy, MM, dd, HH, YYYY, ww", word)
		}
	}
	if len(p.parts) == 0 {
		return p, errors.New("it is empty")
	}
	return p, nil
}

// tagValue returns the value of a placeholder. It is never a field of the record, which the writer of the log could choose.
func tagValue(s *record.Source, tag string) string {
	if tag == "target" || tag == "index" {
		return s.Index
	}
	for _, t := range s.Tags {
		if t.Key == tag {
			return t.Value
		}
	}
	return "none"
}

// period returns the number of the period of ns, within which all records of a source have the same index.
func (p *pattern) period(ns int64) int64 {
	if !p.dated {
		return 0
	}
	return template.Period(ns)
}

// name returns the index for records of s at ns. Elasticsearch allows only lower case, and not every character.
func (p *pattern) name(s *record.Source, ns int64) string {
	var b strings.Builder
	for _, part := range p.parts {
		switch {
		case part.tag != "":
			b.WriteString(tagValue(s, part.tag))
		case part.dated:
			b.WriteString(part.date.Format(time.Unix(0, ns).In(p.zone)))
		default:
			b.WriteString(part.text)
		}
	}
	return clean(b.String())
}

// clean turns a name that a container declared into one that Elasticsearch accepts: lower case, without \/*?"<>| ,#: and
// control characters, without a leading -, _, + or dot, and of at most 255 bytes.
func clean(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < 0x20 || strings.ContainsRune(`\/*?"<>| ,#:`, r) {
			return '_'
		}
		return r
	}, strings.ToLower(strings.ToValidUTF8(name, "_")))
	name = strings.TrimLeft(name, "-_+.")
	if name == "" {
		return "unnamed"
	}
	return strings.ToValidUTF8(name[:min(len(name), 255)], "")
}
