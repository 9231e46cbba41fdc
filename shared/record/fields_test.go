// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEachField(t *testing.T) {
	fields := []byte(`"a":1,"b\"\\":"x\\\"y" , "c" : {"d":[1,"}]",{"e":null}]},"":"","f":-1.5e9,"g":true`)
	type pair struct{ key, value string }
	var got []pair
	EachField(fields, func(key, value []byte) bool {
		got = append(got, pair{string(AppendUnescaped(nil, key)), string(value)})
		return true
	})
	assert.Equal(t, []pair{
		{"a", `1`}, {`b"\`, `"x\\\"y"`}, {"c", `{"d":[1,"}]",{"e":null}]}`}, {"", `""`}, {"f", `-1.5e9`}, {"g", `true`},
	}, got)
}

func TestEachFieldStopsWhenTold(t *testing.T) {
	calls := 0
	EachField([]byte(`"a":1,"b":2`), func(_, _ []byte) bool { calls++; return false })
	assert.Equal(t, 1, calls)
}

func TestAppendText(t *testing.T) {
	for in, want := range map[string]string{
		`"plain"`:              "plain",
		`"a\n\t\r\b\f\/"`:      "a\n\t\r\b\f/",
		`"\u00e4\ud83d\ude00"`: "ä😀",
		`"\ud83d"`:             "\ufffd",
		`"\ud83d\u0041"`:       "\ufffdA",
		`"\\u0041\""`:          `\u0041"`,
		`12.50`:                "12.50",
		`{"a":"b"}`:            `{"a":"b"}`,
		`null`:                 "null",
		`""`:                   "",
	} {
		assert.Equal(t, want, string(AppendText(nil, []byte(in))), in)
	}
}

func TestFieldsAllocateNothing(t *testing.T) {
	fields := []byte(`"a":1,"b":"x\ty","c":{"d":[1,2]}`)
	text := make([]byte, 0, 64)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		EachField(fields, func(_, value []byte) bool {
			text = AppendText(text[:0], value)
			return true
		})
	}))
}

// What EachField and AppendText say of an object must be what encoding/json says of it.
func FuzzFields(f *testing.F) {
	for _, seed := range []string{`"a":1`, `"a":"\u0000\ud800"`, `"a" : [1, {"b":"\""}] ,"c":null`, `"`, `"a":`, `,`, `"\`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, fields []byte) {
		got := map[string]string{}
		EachField(fields, func(key, value []byte) bool {
			got[string(AppendUnescaped(nil, key))] = string(AppendText(nil, value))
			return true
		})
		var want map[string]json.RawMessage
		if !utf8.Valid(fields) || json.Unmarshal([]byte("{"+string(fields)+"}"), &want) != nil {
			return // not what a Record may hold; all that counts is that it came to an end
		}
		require.Len(t, got, len(want))
		for key, raw := range want {
			text := string(raw)
			if raw[0] == '"' {
				require.NoError(t, json.Unmarshal(raw, &text))
			}
			require.Equal(t, text, got[key], "%q", key)
		}
	})
}
