// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

// addGolden adds the lines of golden files as seeds.
func addGolden(f *testing.F, names ...string) {
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join("testdata", name, "input.log"))
		require.NoError(f, err)
		for line := range bytes.Lines(text) {
			f.Add(bytes.TrimSuffix(line, []byte("\n")))
		}
	}
}

// fuzzLines holds for every line what must hold for all: nothing panics, the record is sound, nothing is lost where the
// line could not be parsed, and the line itself is unchanged.
func fuzzLines(f *testing.F, d declare.Declaration, check func(t *testing.T, line []byte, r *record.Record)) {
	src := newSource(record.Tag{Key: "app", Value: "shop"}, record.Tag{Key: "status", Value: "tagged"})
	f.Fuzz(func(t *testing.T, line []byte) {
		if d.Format == "csv" && len(line) == 0 {
			return // no record
		}
		chain, b := newChain(t, d, src), record.NewBatch(0)
		before := bytes.Clone(line)
		for range 2 { // the second time with what was learned from the first
			b.Reset()
			b.Records = append(b.Records, record.Record{Line: line, Source: src, Time: readAt})
			applyAll(chain, b, 0, readAt, true)
			require.Len(t, b.Records, 1)
			r := &b.Records[0]
			requireSound(t, r)
			require.Equal(t, before, line)
			if r.Line == nil && chain.Counts().ParseErrors == 0 {
				check(t, line, r)
			}
		}
	})
}

func FuzzJSON(f *testing.F) {
	addGolden(f, "json")
	f.Add([]byte(`{"a":{"b":[[],{},[{}],"\ud800",-0.5e+7,true]},"a":null}`))
	fuzzLines(f, declare.Declaration{Format: "json"}, func(t *testing.T, line []byte, r *record.Record) {
		require.True(t, json.Valid(line))
		var want map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(line, &want))
		got := map[string]json.RawMessage{}
		require.NoError(t, json.Unmarshal([]byte("{"+string(r.Fields)+"}"), &got))
		for key, value := range want {
			if key == "@timestamp" {
				continue // maybe the record's time
			}
			for r.Source.Owns([]byte(key)) || got[key] == nil {
				require.NotContains(t, got, key)
				key = "app_" + key
				require.Less(t, len(key), len(line)+100)
			}
			require.Equal(t, decode(t, value), decode(t, got[key]), "%q", key)
		}
	})
}

// What is valid JSON is understood, but for depth: a scanner that is too strict would be as bad as one that is not.
func FuzzScanner(f *testing.F) {
	addGolden(f, "json")
	f.Fuzz(func(t *testing.T, text []byte) {
		s := scanner{p: text}
		end := s.value(s.skip(0), 0)
		valid := end >= 0 && s.skip(end) == len(text)
		if s.what == "values are nested too deep" {
			return
		}
		require.Equal(t, json.Valid(text), valid, "%q %s %d", text, s.what, s.at)
		if valid {
			clean := appendClean(nil, text)
			require.True(t, json.Valid(clean))
			require.True(t, utf8.Valid(clean))
			require.Equal(t, decode(t, text), decode(t, clean))
		}
	})
}

// decode reads JSON with its numbers as they are written, as strings: those that backends do not take become some.
func decode(t *testing.T, text []byte) (v any) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(&v))
	var texts func(v any) any
	texts = func(v any) any {
		switch v := v.(type) {
		case json.Number:
			return string(v)
		case []any:
			for i := range v {
				v[i] = texts(v[i])
			}
		case map[string]any:
			for key := range v {
				v[key] = texts(v[key])
			}
		}
		return v
	}
	return texts(v)
}

func FuzzAccess(f *testing.F) {
	addGolden(f, "nginx", "apache2")
	f.Add([]byte(`shop "1.2.3.4, unknown" ::1 - - [21/Nov/2026:07:41:07 +0000] "x" 200 - - -`))
	f.Add([]byte(`[21/Nov/2026:07:41:07 +0000] ::1 TLSv1.3 X "GET /" 5`))
	fuzzLines(f, declare.Declaration{Format: "nginx"}, func(*testing.T, []byte, *record.Record) {})
}

func FuzzApacheError(f *testing.F) {
	addGolden(f, "apache_error_22", "apache_error_24")
	fuzzLines(f, declare.Declaration{Format: "apache_error"}, func(*testing.T, []byte, *record.Record) {})
}

func FuzzNginxError(f *testing.F) {
	f.Add([]byte(nginxErrorLine))
	f.Add([]byte(`2026/11/21 07:41:07 [notice] 1#1: start, client: "a", client: b, host: "c", host: "d`))
	fuzzLines(f, declare.Declaration{Format: "nginx_error"}, func(*testing.T, []byte, *record.Record) {})
}

// Whatever the format and the line, what comes out is sound; and a format is compiled or refused.
func FuzzLogFormat(f *testing.F) {
	f.Add("nginx", `$remote_addr - $remote_user [$time_local] "$request" $status "$http_user_agent"`, []byte(nginxLine))
	f.Add("apache2", `%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %D %%`, []byte(nginxLine))
	f.Add("nginx", `log_format x '$a' ",$upstream_addr:";`, []byte("0.1, 0.2:"))
	f.Fuzz(func(t *testing.T, server, text string, line []byte) {
		if server != "nginx" && server != "apache2" {
			return
		}
		src := newSource()
		c, err := New(declare.Declaration{Format: server, FormatOptions: map[string]string{"log_format": text}}, src, Options{Log: quiet})
		if err != nil || text == "" {
			return
		}
		b := record.NewBatch(0)
		b.Records = append(b.Records, record.Record{Line: line, Source: src, Time: readAt})
		applyAll(c, b, 0, readAt, true)
		require.Len(t, b.Records, 1)
		requireSound(t, &b.Records[0])
	})
}

func FuzzLogfmt(f *testing.F) {
	f.Add([]byte(logfmtLine))
	f.Add([]byte(`a=1 a=2 host=x word "quoted word" b="x\"y" =c d= e="open http://x?y=z app_host=1`))
	fuzzLines(f, declare.Declaration{Format: "logfmt"}, func(*testing.T, []byte, *record.Record) {})
}

func FuzzKlog(f *testing.F) {
	f.Add([]byte(klogLine))
	f.Add([]byte(`E1121 07:41:07.123456 1 a.go:1] "x" level="y" level=z message=m words`))
	fuzzLines(f, declare.Declaration{Format: "klog"}, func(*testing.T, []byte, *record.Record) {})
}

func FuzzSyslog(f *testing.F) {
	f.Add([]byte(syslogLine))
	f.Add([]byte("<34>Oct 11 22:14:15 mymachine su[230]: text"))
	f.Add([]byte("2026-10-11T22:14:15Z h kernel: text"))
	fuzzLines(f, declare.Declaration{Format: "syslog"}, func(*testing.T, []byte, *record.Record) {})
}

func FuzzCSV(f *testing.F) {
	addGolden(f, "csv")
	keys := []string{"a", "b", "c"}
	d := declare.Declaration{Format: "csv", FormatOptions: map[string]string{"keys": "a,b,c"}}
	fuzzLines(f, d, func(t *testing.T, line []byte, r *record.Record) {
		if bytes.ContainsAny(line, "\r\n") || len(line) == 0 {
			return // encoding/csv reads files
		}
		row, err := csv.NewReader(bytes.NewReader(line)).Read()
		require.NoError(t, err)
		require.Len(t, row, len(keys))
		got := fieldsOf(t, *r)
		for i, key := range keys {
			require.Equal(t, string([]rune(row[i])), got[key])
		}
	})
}

func FuzzRegexp(f *testing.F) {
	addGolden(f, "regexp")
	fuzzLines(f, declare.Declaration{Format: "regexp", FormatOptions: map[string]string{"pattern": `^(?P<a>\S+) (?:(?<b>\d+)|(?<message>.*))$`}},
		func(*testing.T, []byte, *record.Record) {})
}

// Masks keep JSON valid, and leave none of what they look for behind.
func FuzzMasks(f *testing.F) {
	addGolden(f, "filters", "masks_json", "json")
	d := declare.Declaration{Format: "json", Filters: map[string]string{"mask": "email,bearer,credit_card,ipv4",
		"mask.x": `x+ => `, "mask.y": `"y":[^,]* => "y":0`, "add": "a=1", "rename": "b=c,c=b,e=message", "remove": "d"}}
	fuzzLines(f, d, func(t *testing.T, _ []byte, r *record.Record) {
		record.EachField(r.Fields, func(_, value []byte) bool {
			if value[0] == '"' {
				require.NotContains(t, string(record.AppendText(nil, value)), "x")
			}
			return true
		})
	})
}

// However the lines are cut into batches, the same records come out, and no line is lost.
func FuzzMultiline(f *testing.F) {
	for _, preset := range declare.MultilinePresets {
		text, err := os.ReadFile(filepath.Join("testdata", preset, "input.log"))
		if err != nil {
			continue // indent has no golden file of its own
		}
		f.Add(text, preset, uint8(3))
	}
	f.Fuzz(func(t *testing.T, text []byte, preset string, split uint8) {
		src := newSource()
		d := declare.Declaration{Multiline: map[string]string{"preset": preset, "max_lines": "7", "max_bytes": "400"}}
		if _, err := New(d, src, Options{Log: quiet}); err != nil {
			return
		}
		lines := bytes.Split(text, []byte("\n"))
		join := func(step int) (all []byte, offsets []int64) {
			chain, b, last := newChain(t, d, src), record.NewBatch(0), int64(0)
			for i := 0; i < len(lines); i += step {
				b.Reset()
				for _, line := range lines[i:min(i+step, len(lines))] {
					b.Records = append(b.Records, record.Record{Line: line, Source: src, Offset: last, Std: record.Stdout})
					last++
				}
				applyAll(chain, b, 0, readAt, i+step >= len(lines))
				for _, r := range b.Records {
					all = append(append(all, r.Line...), '\n')
					offsets = append(offsets, r.Offset)
				}
			}
			require.EqualValues(t, -1, chain.Open())
			return all, offsets
		}
		whole, offsets := join(len(lines))
		require.Equal(t, string(text)+"\n", string(whole))
		pieces, again := join(int(split)%len(lines) + 1)
		require.Equal(t, whole, pieces)
		require.Equal(t, offsets, again)
	})
}
