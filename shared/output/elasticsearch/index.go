// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/record"
)

// pattern is ELASTICSEARCH_INDEX taken apart.
type pattern struct {
	parts []part
	// every is how long a name is valid: the finest unit of its dates, 0 where there is none. All of them divide the time
	// since 1970 into equal pieces, but months and years, for which a day is fine enough.
	every int64
}

type part struct {
	text   string
	target bool
	layout string // of a date, Go's
}

func parseIndex(s string) (pattern, error) {
	var p pattern
	rest := strings.ReplaceAll(s, "%{+", "{") // as Filebeat writes it
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
		if rest = after; word == "target" {
			p.parts = append(p.parts, part{target: true})
			continue
		}
		layout := strings.NewReplacer("yyyy", "2006", "MM", "01", "dd", "02", "HH", "15").Replace(word)
		if layout == word || strings.ContainsAny(layout, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			return p, fmt.Errorf("{%s} is neither {target} nor a date made of yyyy, MM, dd, HH", word)
		}
		p.parts = append(p.parts, part{layout: layout})
		finest := int64(24 * time.Hour)
		if strings.Contains(word, "HH") {
			finest = int64(time.Hour)
		}
		if p.every == 0 || finest < p.every {
			p.every = finest
		}
	}
	if len(p.parts) == 0 {
		return p, errors.New("it is empty")
	}
	return p, nil
}

// period is the stretch of time, counted from 1970, in which all records of a source have the same index as one of ns.
func (p *pattern) period(ns int64) int64 {
	if p.every == 0 {
		return 0
	}
	n := ns / p.every
	if ns%p.every < 0 {
		n--
	}
	return n
}

// name is the index for records of s at ns. Elasticsearch takes lower case only, and not every character.
func (p *pattern) name(s *record.Source, ns int64) string {
	var b strings.Builder
	for _, part := range p.parts {
		switch {
		case part.target:
			b.WriteString(s.Index)
		case part.layout != "":
			b.WriteString(time.Unix(0, ns).UTC().Format(part.layout))
		default:
			b.WriteString(part.text)
		}
	}
	return clean(b.String())
}

// clean makes a name that Elasticsearch takes of one that a container declared: lower case, none of \/*?"<>| ,#:, no
// -, _ or + in front, at most 255 bytes.
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
