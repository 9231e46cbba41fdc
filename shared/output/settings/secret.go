// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"bytes"

	"github.com/remora-logs/remora/shared/output/internal/live"
)

// Secret is a value that must not be shown. Where NAME_FILE gave it, it follows that file: a token that somebody renews
// is used from the next request on. The zero value is a secret that is not set.
type Secret struct {
	text string
	file *live.File
}

// NewSecret makes a secret of text that doesn't change.
func NewSecret(text string) Secret { return Secret{text: text} }

// Reveal returns the value as it is now.
func (s Secret) Reveal() string {
	if s.file == nil {
		return s.text
	}
	content, _ := s.file.Content()
	return string(trim(content))
}

// IsSet reports whether there is a value.
func (s Secret) IsSet() bool { return s.file != nil || s.text != "" }

// Version changes when the value does.
func (s Secret) Version() int {
	if s.file == nil {
		return 0
	}
	_, version := s.file.Content()
	return version
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Secret) UnmarshalText(text []byte) error {
	s.text = string(text)
	return nil
}

// String keeps the value out of logs and errors.
func (Secret) String() string { return "(not shown)" }

// GoString keeps the value out of what %#v prints.
func (Secret) GoString() string { return "(not shown)" }

// MarshalText keeps the value out of JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte("(not shown)"), nil }

// trim takes off the newline that editors leave at a file's end.
func trim(content []byte) []byte { return bytes.TrimRight(content, "\r\n") }
