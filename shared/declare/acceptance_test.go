// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// acceptance is a case of testdata: what a container says, and what is to come of it.
type acceptance struct {
	Name      string            `json:"name"`
	Prefix    string            `json:"prefix"`
	Labels    map[string]string `json:"labels"`
	Env       []string          `json:"env"`
	Want      []Declaration     `json:"want"`
	ErrorKeys []string          `json:"error_keys"`
	// WarningKeys are compared where a case has them.
	WarningKeys []string `json:"warning_keys"`
}

func load(t testing.TB, path string) []acceptance {
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var cases []acceptance
	require.NoError(t, json.Unmarshal(data, &cases))
	return cases
}

// declarations.json holds log-pilot's dialect; more.json what is ours, and the corners of both.
func TestAcceptance(t *testing.T) {
	for _, path := range []string{"testdata/declarations.json", "testdata/more.json", "testdata/formats.json"} {
		for _, c := range load(t, path) {
			t.Run(c.Name, func(t *testing.T) {
				set := New(c.Prefix).Read(Input{Labels: c.Labels, Env: c.Env})
				assert.Equal(t, c.Want, set.Declarations)
				keys := []string{}
				for _, p := range set.Errors {
					keys = append(keys, p.Key)
					assert.NotEmpty(t, p.Message)
					assert.NotContains(t, p.Message, "hunter2")
				}
				assert.ElementsMatch(t, c.ErrorKeys, keys, "%v", set.Errors)
				warned := []string{}
				for _, p := range set.Warnings {
					warned = append(warned, p.Key)
					assert.NotContains(t, p.Message, "hunter2")
				}
				if c.WarningKeys != nil {
					assert.ElementsMatch(t, c.WarningKeys, warned, "%v", set.Warnings)
				}
			})
		}
	}
}
