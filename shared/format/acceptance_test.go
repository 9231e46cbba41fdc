// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

// acceptance is a case of testdata: a log, how it is declared, and what its records must and must not hold.
type acceptance struct {
	Name    string            `json:"name"`
	Options map[string]string `json:"options"`
	Data    string            `json:"data"`
	Want    []map[string]any  `json:"want"`
	Absent  [][]string        `json:"absent"`
	Refused bool              `json:"refused"`
}

func (c *acceptance) declare() declare.Set {
	env := []string{"aliyun_logs_a=/l/a.log"}
	for key, value := range c.Options {
		if key == "custom_config" {
			env = append(env, "aliyun_logs_custom_config="+value)
		} else {
			env = append(env, "aliyun_logs_a_"+key+"="+value)
		}
	}
	return declare.New("").Read(declare.Input{Env: env})
}

// records sends a whole file through the chain of d, and returns its records as they are sent.
func records(t testing.TB, d declare.Declaration, data string) (all []map[string]any) {
	t.Helper()
	var tags []record.Tag
	for key, value := range d.Tags {
		tags = append(tags, record.Tag{Key: key, Value: value})
	}
	src := NewSource(d, "stream", "/l/a.log", tags, []record.Tag{{Key: "host", Value: "node-1"}, {Key: "container_id", Value: "c1"}})
	c, err := New(d, src, Options{Log: quiet})
	require.NoError(t, err)
	b := record.NewBatch(len(data) + 1)
	n := copy(b.Free(), data)
	text := b.Free()[:n]
	b.Keep(cut.NewLines(src, 1<<20).Cut(b, text, 0, readAt, true))
	if c != nil {
		applyAll(c, b, 0, readAt, true)
	}
	var enc record.Encoder
	for i := range b.Records {
		requireSound(t, &b.Records[i])
		decoder := json.NewDecoder(bytes.NewReader(enc.AppendRecord(nil, &b.Records[i])))
		decoder.UseNumber()
		var m map[string]any
		require.NoError(t, decoder.Decode(&m))
		all = append(all, m)
	}
	return all
}

// formats.json holds what all formats have to agree on; more.json the corners of each kind.
func TestAcceptance(t *testing.T) {
	for _, path := range []string{"testdata/formats.json", "testdata/more.json"} {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var cases []acceptance
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		require.NoError(t, decoder.Decode(&cases))
		for _, c := range cases {
			t.Run(c.Name, func(t *testing.T) {
				set := c.declare()
				if c.Refused {
					require.Empty(t, set.Declarations)
					require.NotEmpty(t, set.Errors)
					return
				}
				require.Empty(t, set.Errors)
				require.Len(t, set.Declarations, 1)
				got := records(t, set.Declarations[0], c.Data)
				require.Len(t, got, len(c.Want), "%v", got)
				for i, want := range c.Want {
					for key, value := range want {
						requireMember(t, got[i], key, value)
					}
				}
				for i, keys := range c.Absent {
					for _, key := range keys {
						assert.NotContains(t, got[i], key, "%v", got[i])
					}
				}
			})
		}
	}
}

func requireMember(t *testing.T, got map[string]any, key string, want any) {
	t.Helper()
	value, ok := got[key]
	if !assert.True(t, ok, "%s is missing in %v", key, got) {
		return
	}
	if key == "@timestamp" {
		assert.True(t, strings.HasPrefix(value.(string), want.(string)), "%v is not %v", value, want)
		return
	}
	if _, nested := want.(map[string]any); !nested {
		value, want = fmt.Sprint(value), fmt.Sprint(want) // a number may come as its text
	}
	assert.Equal(t, want, value, "%s of %v", key, got)
}
