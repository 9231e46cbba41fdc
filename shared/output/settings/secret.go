// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"bytes"

	"github.com/remora-logs/remora/shared/output/internal/live"
)

// Secret is a value that must not be shown. If NAME_FILE gave it, it follows that file: a renewed token is used from the next
// request on. The zero value is a secret that is not set.
type Secret struct {
	text string
	file *live.File
}

// NewSecret returns a secret that doesn't change.
func NewSecret(text string) Secret { return Secret{text: text} }

// Reveal returns the current value.
func (s Secret) Reveal() string {
	if s.file == nil {
		return s.text
	}
	content, _ := s.file.Content()
	return string(trim(content))
}

// IsSet reports whether the secret has a value.
func (s Secret) IsSet() bool { return s.file != nil || s.text != "" }

// Version returns a number that changes when the value does.
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

// String returns a placeholder, so that the value is in no log or error.
func (Secret) String() string { return "(not shown)" }

// GoString returns a placeholder, so that %#v does not print the value.
func (Secret) GoString() string { return "(not shown)" }

// MarshalText returns a placeholder, so that the value is in no JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte("(not shown)"), nil }

// trim strips the newline that editors leave at a file's end.
func trim(content []byte) []byte { return bytes.TrimRight(content, "\r\n") }
