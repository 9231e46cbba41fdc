// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUnknownNameListsTheKnown(t *testing.T) {
	_, err := Open("kafak", nil)
	require.ErrorContains(t, err, `"kafak"`)
	for _, b := range Backends {
		require.ErrorContains(t, err, b.Name)
	}
}

func TestEverySettingIsDescribedOnce(t *testing.T) {
	seen := make(map[string]string)
	for _, b := range Backends {
		for _, s := range b.Settings {
			require.NotEmpty(t, s.Doc, s.Name)
			require.Empty(t, seen[s.Name], "%s is a setting of %s and %s", s.Name, seen[s.Name], b.Name)
			seen[s.Name] = b.Name
			for _, word := range []string{"PASSWORD", "TOKEN", "API_KEY", "HEADERS"} {
				if strings.HasSuffix(s.Name, word) {
					require.True(t, s.Secret, "%s holds a secret and must be readable from a file", s.Name)
				}
			}
		}
	}
}
