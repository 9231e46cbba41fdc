// SPDX-License-Identifier: Apache-2.0

// Package template makes names (of files, keys, tags) from a text with placeholders for what is known of a record's source:
// {target}, {declaration}, {source}, and {KEY} for each of its tags.
package template

import (
	"errors"
	"strings"

	"github.com/remora-logs/remora/shared/record"
)

// Template is a text and its placeholders: len(texts) == len(keys)+1.
type Template struct{ texts, keys []string }

// Parse parses a template. Its error says what is wrong with the braces.
func Parse(s string) (Template, error) {
	var t Template
	for {
		text, after, open := strings.Cut(s, "{")
		if strings.Contains(text, "}") {
			return t, errors.New("a } without a {")
		}
		t.texts = append(t.texts, text)
		if !open {
			return t, nil
		}
		key, after, closed := strings.Cut(after, "}")
		if !closed || key == "" || strings.Contains(key, "{") {
			return t, errors.New("a { without the name of a tag and a } after it")
		}
		t.keys = append(t.keys, key)
		s = after
	}
}

// Keys returns the placeholders, without braces.
func (t Template) Keys() []string { return t.keys }

// Fixed reports whether the template has no placeholders, so that its result is the same for all records.
func (t Template) Fixed() bool { return len(t.keys) == 0 }

// Append appends the template's result for s. part appends the value of a placeholder in a form that does no harm, because the
// user who starts a container may have chosen the value; nil appends it as it is.
func (t Template) Append(dst []byte, s *record.Source, part func(dst []byte, value string) []byte) []byte {
	return t.AppendWith(dst, func(dst []byte, key string) []byte {
		if part == nil {
			return append(dst, Value(s, key)...)
		}
		return part(dst, Value(s, key))
	})
}

// AppendWith appends the template, calling value to append each placeholder's.
func (t Template) AppendWith(dst []byte, value func(dst []byte, key string) []byte) []byte {
	for i, text := range t.texts {
		dst = append(dst, text...)
		if i < len(t.keys) {
			dst = value(dst, t.keys[i])
		}
	}
	return dst
}

// Value returns the value of the placeholder {key}; empty if s has none of that name.
func Value(s *record.Source, key string) string {
	switch key {
	case "target":
		return s.Target
	case "declaration":
		return s.Declaration
	case "source":
		return s.Path
	}
	for _, t := range s.Tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}
