// SPDX-License-Identifier: Apache-2.0

package format

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

func TestJSONFieldsArePartOfTheLineWhereTheyCanBe(t *testing.T) {
	for options, lines := range map[string][]string{
		"":  {`{"a":1,"b":{"c":[]}}`, ` { "a" : 1 } `, `{"@timestamp":"2026-01-01T00:00:00Z","a":1}`, `{"a":1,"t":"x"}`},
		"t": {`{"t":1,"a":1}`, `{"a":1,"t":1}`, `{"t":1,"a":1,"b":2}`},
	} {
		for _, line := range lines {
			c := newChain(t, declare.Declaration{Format: "json", FormatOptions: map[string]string{"time_key": options}}, newSource(record.Tag{Key: "app", Value: "x"}))
			r := record.Record{Line: []byte(line), Source: newSource()}
			b := record.NewBatch(0)
			b.Records = append(b.Records, r)
			applyAll(c, b, 0, readAt, false)
			fields := b.Records[0].Fields
			at := uintptr(unsafe.Pointer(unsafe.SliceData(fields))) - uintptr(unsafe.Pointer(unsafe.SliceData(r.Line)))
			assert.Less(t, int(at), len(line), line)
			assert.Empty(t, b.Arena)
		}
	}
}

func TestJSONKeepsWhatIsNamedLikeRemoras(t *testing.T) {
	src := newSource(record.Tag{Key: "app", Value: "shop"}, record.Tag{Key: `q"`, Value: "x"})
	c := newChain(t, declare.Declaration{Format: "json"}, src)
	for line, want := range map[string]string{
		`{"a":1,"app":2,"b":3}`:                                        `"a":1,"app_app":2,"b":3`,
		`{"a":1,"\u0061pp":2,"b":3}`:                                   `"a":1,"app_app":2,"b":3`,
		`{"q\"":1,"q\u0022":2}`:                                        `"app_q\"":2`,
		`{"a":1,"b":2,"a":3,"b":4}`:                                    `"a":3,"b":4`,
		`{"a":1,"\u0061":2}`:                                           `"\u0061":2`,
		`{"app":1,"app":2}`:                                            `"app_app":2`,
		`{"app":1,"app_app":2,"app_app_app":3}`:                        `"app_app_app_app":1,"app_app":2,"app_app_app":3`,
		`{"_id":1,"":2,"k8s_x":3,"docker_":4,"k8s":5,"remorax":6}`:     `"app__id":1,"app_":2,"app_k8s_x":3,"app_docker_":4,"k8s":5,"app_remorax":6`,
		`{"@timestamp":1,"@timestamp":"x"}`:                            `"app_@timestamp":"x"`,
		"{\"a\":\r\n1 ,\n\"b\":[1,\n2]}":                               `"a":1,"b":[1,2]`,
		"{\"a\":1,\n\"app\":2}":                                        `"a":1,"app_app":2`,
		`{"stream":"x","source":"y","truncated":1,"remora":"z","c":1}`: `"app_stream":"x","app_source":"y","app_truncated":1,"app_remora":"z","c":1`,
		`{"n":-0.0e-07,"m":1E400,"o":123456789012345678901234567890}`:  `"n":-0.0e-07,"m":"1E400","o":"123456789012345678901234567890"`,
		`{"a":[1e9999,{"b":-9223372036854775809}],"c":9223372036854775807,"d":1e-9999,"e":12345678901234567890.5}`: `"a":["1e9999",{"b":"-9223372036854775809"}],"c":9223372036854775807,"d":1e-9999,"e":12345678901234567890.5`,
		`{"a":"\ud83d\ude00 \ud83d x \ude00 \uD83D\u0041","\udc00":1}`:                                             `"a":"\ud83d\ude00 \ufffd x \ufffd \ufffd\u0041","\ufffd":1`,
	} {
		b := record.NewBatch(0)
		b.Records = append(b.Records, record.Record{Line: []byte(line), Source: src})
		applyAll(c, b, 0, readAt, false)
		assert.Equal(t, want, string(b.Records[0].Fields), line)
		assert.Nil(t, b.Records[0].Line)
	}
}

func TestTimeFormatAloneMeansTheFieldTime(t *testing.T) {
	for format, line := range map[string]string{"json": `{"time":"1","a":"x"}`, "csv": `1,x`, "regexp": `1 x`} {
		d := declare.Declaration{Format: format, FormatOptions: map[string]string{"time_format": "unix"}}
		switch format {
		case "csv":
			d.FormatOptions["keys"] = "time,a"
		case "regexp":
			d.FormatOptions["pattern"] = `(?P<time>\S+) (?P<a>\S+)`
		}
		r := apply(t, d, line)
		assert.Equal(t, int64(1e9), r.Time, format)
		assert.Equal(t, map[string]any{"a": "x"}, fieldsOf(t, r))
	}
}

func TestJSONBoundsWhatItRemembersAndHowDeepItGoes(t *testing.T) {
	c := newChain(t, declare.Declaration{Format: "json"}, newSource())
	for i := range 10 * maxKeys {
		applyTo(t, c, fmt.Sprintf(`{"key%d":1,"other%d":2}`, i, i))
	}
	p := c.parser.(*jsonParser)
	assert.LessOrEqual(t, len(p.keys.known), maxKeys)

	for depth, ok := range map[int]bool{maxDepth: true, maxDepth + 1: false, 1 << 20: false} {
		r := applyTo(t, c, `{"a":`+strings.Repeat("[", depth)+strings.Repeat("]", depth)+`}`)
		assert.Equal(t, ok, r.Line == nil, depth)
	}
	members := make([]string, 20*maxKeys) // of one line all count
	for i := range members {
		members[i] = fmt.Sprintf(`"k%d":%d`, i, i)
	}
	line := strings.Join(members, ",")
	assert.Equal(t, line, string(applyTo(t, c, "{"+line+"}").Fields))
	assert.Equal(t, strings.Replace(line, `"k7":7,`, "", 1)+`,"k7":8`, string(applyTo(t, c, "{"+line+`,"k7":8}`).Fields))
}

// Every byte value comes back, in each format, wherever it is: as itself, or as U+FFFD where it is not text.
func TestRoundTripOfEveryByte(t *testing.T) {
	for c := range 256 {
		for _, text := range []string{string([]byte{byte(c)}), string([]byte{'a', byte(c), 'b'}), "0123456789" + string([]byte{byte(c)}) + "0123456789"} {
			want := strings.Map(func(r rune) rune { return r }, text)
			check := func(d declare.Declaration, line string, field string) {
				t.Helper()
				if got := fieldsOf(t, apply(t, d, line)); want != got[field] {
					require.Equal(t, want, got[field], "%q", line)
				}
			}
			check(declare.Declaration{Format: "json"}, `{"a":`+string(record.AppendString(nil, text))+`}`, "a")
			check(declare.Declaration{Format: "csv", FormatOptions: map[string]string{"keys": "a,b"}}, `"`+strings.ReplaceAll(text, `"`, `""`)+`",x`, "a")
			check(declare.Declaration{Format: "regexp", FormatOptions: map[string]string{"pattern": `(?s)^<(?P<a>.*)>$`}}, "<"+text+">", "a")
			if c != '"' && c != '\\' && text != "-" {
				check(declare.Declaration{Format: "nginx"}, `1.1.1.1 - - [21/Nov/2026:07:41:07 +0000] "GET / HTTP/1.1" 200 1 "-" "`+text+`"`, "http_user_agent")
				check(declare.Declaration{Format: "apache_error"}, `[Wed Oct 11 14:32:52 2000] [error] `+text, "message")
			}
			escaped := strings.ReplaceAll(text, string([]byte{byte(c)}), fmt.Sprintf(`\x%02X`, c))
			want = escaped // it stays as the server escaped it
			check(declare.Declaration{Format: "nginx"}, `1.1.1.1 - - [21/Nov/2026:07:41:07 +0000] "GET / HTTP/1.1" 200 1 "-" "`+escaped+`"`, "http_user_agent")
		}
	}
}
