// SPDX-License-Identifier: Apache-2.0

package format

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatARuntimeWritesBehindItsTime(t *testing.T) {
	for line, want := range map[string]string{
		"stdout F text": "text", "stderr P text": "text", "stdout F:a:b text": "text", "stdout F ": "", "stdout F": "", "stderr P": "",
		"stdout F  two": " two", "stdout": "stdout", "stdout ": "stdout ", "stdout X text": "stdout X text", "stdout Full text": "stdout Full text",
		"stdin F text": "stdin F text", "": "", "stdout F:": "stdout F:",
	} {
		require.Equal(t, want, string(criText([]byte(line))), "%q", line)
	}
}
