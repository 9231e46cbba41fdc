// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/remora-logs/remora/shared/output/internal/template"
	"github.com/remora-logs/remora/shared/record"
)

// partitionKey is KAFKA_PARTITION_KEY parsed. If it holds neither a name nor a text, the key is the stream.
type partitionKey struct {
	name string            // of a tag or field
	text template.Template // of tags, if there is more than a name
}

// filebeatField matches a field in the form of Filebeat's format strings: %{[name]}, %{[fields][name]}, and with a default
// %{[name]:default}.
var filebeatField = regexp.MustCompile(`%\{\[(?:fields(?:\.|\]\[))?([A-Za-z0-9_@.-]+)\](?::[^{}]*)?\}`)

// parseKey parses KAFKA_PARTITION_KEY. A text without %{ is a name, whatever it holds.
func parseKey(s string) (partitionKey, error) {
	if !strings.Contains(s, "%{") {
		return partitionKey{name: s}, nil
	}
	if m := filebeatField.FindStringSubmatch(s); m != nil && m[0] == s {
		return partitionKey{name: m[1]}, nil
	}
	plain := filebeatField.ReplaceAllString(s, "{$1}")
	if strings.Contains(plain, "%{") {
		return partitionKey{}, fmt.Errorf("KAFKA_PARTITION_KEY is %q; fields are written as %%{[NAME]}", s)
	}
	text, err := template.Parse(plain)
	if err != nil {
		return partitionKey{}, fmt.Errorf("KAFKA_PARTITION_KEY is %q: %w", s, err)
	}
	return partitionKey{text: text}, nil
}

// of returns the key of all records of s; ok is false if each record has its own.
func (k *partitionKey) of(s *record.Source) (key []byte, ok bool) {
	switch {
	case len(k.text.Keys()) > 0:
		for _, name := range k.text.Keys() {
			if template.Value(s, name) == "" {
				return []byte(s.ID), true
			}
		}
		return k.text.Append(nil, s, nil), true
	case k.name == "":
		return []byte(s.ID), true
	}
	for _, tag := range s.Tags {
		if tag.Key == k.name {
			return []byte(tag.Value), true
		}
	}
	return nil, false
}
