// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFile(t *testing.T) {
	file := ReadFile("remora.yaml", []byte(`
logs:
  short: stdout
  access:
    path: /logs/access*.log
    format: {type: csv, keys: [time, path], time_key: time}
    tags: {team: web, list: "a,b", port: 80}
    target: web
    multiline: {preset: java, max_lines: 10}
    drop: [healthz, "level~debug"]
    mask: {1: email, 2: 'key=\S+ => key=***'}
    add: {env: prod}
    remove: [x, y]
    output: [kafka]
    exclude: ["*.gz"]
    read_from: end
  dotted:
    source: /d.log
    format: json
    format.time_key: ts
    multiline.start: ^\d
`))
	set := New("").Read(Input{File: file})
	require.Empty(t, set.Errors)
	assert.Equal(t, []Declaration{
		{
			Name: "access", Source: "/logs/access*.log", Format: "csv", Target: "web",
			FormatOptions: map[string]string{"keys": "time,path", "time_key": "time"},
			Tags:          map[string]string{"team": "web", "list": "a,b", "port": "80"},
			Multiline:     map[string]string{"preset": "java", "max_lines": "10"},
			Filters: map[string]string{"drop.1": "healthz", "drop.2": "level~debug", "mask.1": "email",
				"mask.2": `key=\S+ => key=***`, "add.env": "prod", "remove": "x,y"},
			Files:   map[string]string{"exclude": "*.gz", "read_from": "end"},
			Outputs: []string{"kafka"},
		},
		{
			Name: "dotted", Source: "/d.log", Format: "json", Target: "dotted", Tags: map[string]string{},
			FormatOptions: map[string]string{"time_key": "ts"}, Multiline: map[string]string{"start": `^\d`},
		},
		{Name: "short", Source: Stdout, Format: "none", Target: "short", FormatOptions: map[string]string{}, Tags: map[string]string{}},
	}, set.Declarations)
}

func TestFileIsOverriddenKeyByKey(t *testing.T) {
	set := New("").Read(Input{
		File:        ReadFile("f", []byte("logs: {a: {path: /file, target: file, tags: x=file, format: json}}")),
		Annotations: map[string]string{"aliyun.logs.a.target": "note", "aliyun.logs.a.tags": "x=note"},
		Env:         []string{"aliyun_logs_a_tags=x=env"},
	})
	require.Empty(t, set.Errors)
	assert.Empty(t, set.Warnings)
	assert.Equal(t, []Declaration{{Name: "a", Source: "/file", Target: "note", Format: "json",
		FormatOptions: map[string]string{}, Tags: map[string]string{"x": "env"}}}, set.Declarations)
}

func TestFileIsStrict(t *testing.T) {
	for text, want := range map[string]struct {
		key, words string
		left       int // declarations that are not refused
	}{
		"logs:\n  a: stdout\n  b:\n    path: /b\n    formt: json\n": {"logs.b.formt", "f, line 5: unknown key; did you mean format?", 1},
		"logs:\n  a: stdout\nlog:\n  b: stdout\n":                   {"log", "f, line 3: unknown key; did you mean logs?", 1},
		"logs:\n  a: stdout\n  a: /x\n":                             {"logs.a", "f, line 3: is a duplicate", 1},
		"logs:\n  a: {path: /a, path: /b}\n":                        {"logs.a.path", "f, line 2: is a duplicate", 1},
		"logs: [a]\n":                                               {"logs", "f, line 1: must be a mapping", 0},
		"logs: {a: [stdout]}\n":                                     {"logs.a", "f, line 1: must be a mapping", 0},
		"logs: {a b: stdout}\n":                                     {"logs.a b", `f, line 1: "a b" is not a valid name of a log`, 0},
		"logs: {a: {target: {x: y}}}\n":                             {"logs.a.target", "f, line 1: must be a plain value", 0},
		"logs: {a: {target: [x]}}\n":                                {"logs.a.target", "f, line 1: must be a plain value, not a list", 0},
		"logs: {a: {drop: [[x]]}}\n":                                {"logs.a.drop", "f, line 1: must be a list of plain values", 0},
		"logs: {a: {tags: {x: {y: z}}}}":                            {"logs.a.tags.x", "f, line 1: must be a plain value", 0},
		"logs: {a: {format: {typ: csv}}}":                           {"logs.a.format.typ", "f, line 1: unknown key", 0},
		"logs:\n  a:\n":                                             {"logs.a", "f, line 2: is empty", 0},
		"logs:\n  a:\n    path: x\n":                                {"logs.a", "f, line 3: ", 0},
		"logs:\n  a: {path: /x, format: xml}\n":                     {"logs.a.format", "f, line 2: \"xml\" is none of", 0},
		"logs:\n  a: {path: /x, format: regexp}\n":                  {"logs.a.format.pattern", "f, line 2: is missing", 0},
		"logs:\n  a: {<<: {path: /x}}\n":                            {"logs.a.<<", "f, line 2: unknown key", 0},
		"logs:\n  a: stdout\n---\nlogs:\n":                          {"f", "more than one YAML document", 0},
		"logs: [":                                                   {"f", "line 1", 0},
		"\tlogs":                                                    {"f", "cannot start any token", 0},
		"- x":                                                       {"f", "f, line 1: must be a mapping", 0},
		"? [x]\n: y":                                                {"", "f, line 1: is a duplicate, or not a plain key", 0},
	} {
		set := New("").Read(Input{File: ReadFile("f", []byte(text))})
		require.NotEmpty(t, set.Errors, text)
		assert.Equal(t, want.key, set.Errors[0].Key, text)
		assert.Contains(t, set.Errors[0].Message, want.words, text)
		assert.Len(t, set.Declarations, want.left, text)
	}
	for _, empty := range []string{"", "# nothing\n", "---\n", "logs:\n", "logs: {}\n"} {
		assert.Equal(t, New("").Read(Input{}), New("").Read(Input{File: ReadFile("f", []byte(empty))}), "%q", empty)
	}
}

// Aliases are followed where they are, and never multiplied.
func TestFileAliases(t *testing.T) {
	set := New("").Read(Input{File: ReadFile("f", []byte("logs:\n  a: &a {path: /x, tags: &t {k: v}}\n  b: *a\n  c: {path: /c, tags: *t}\n"))})
	require.Empty(t, set.Errors)
	require.Len(t, set.Declarations, 3)
	assert.Equal(t, "/x", set.Declarations[1].Source)
	assert.Equal(t, map[string]string{"k": "v"}, set.Declarations[2].Tags)
}

func TestReadDownward(t *testing.T) {
	values := map[string]string{
		"aliyun.logs.a":                `/logs/*.log`,
		"aliyun.logs.a.format.pattern": "\"^(?<x>\\d+)\"\t=\né\xff",
		"kubernetes.io/config.seen":    "",
	}
	var data []byte
	for key, value := range values {
		data = append(data, key+"="+strconv.Quote(value)+"\n"...)
	}
	got, err := ReadDownward(data)
	require.NoError(t, err)
	assert.Equal(t, values, got)

	for _, bad := range []string{"a", "a=b", `a="b`, "a='b'", "a=`b`", `="b"`, "ok=\"x\"\na=\"\\q\""} {
		_, err := ReadDownward([]byte(bad))
		assert.ErrorContains(t, err, "is not of the form key=\"value\"", bad)
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte("logs:\n  a: {path: /x, tags: {k: v}, drop: [a, b], format: {type: json}}\n"))
	f.Add([]byte("logs: &x {a: *x}\n"))
	f.Add([]byte("a=\"b\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		set := New("").Read(Input{File: ReadFile("f", data)})
		for _, d := range set.Declarations {
			require.True(t, isName(d.Name))
		}
		_, _ = ReadDownward(data)
	})
}
