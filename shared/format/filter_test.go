// SPDX-License-Identifier: Apache-2.0

package format

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

type filters = map[string]string

// passing are those of lines that the JSON chain of f lets pass.
func passing(t *testing.T, f filters, lines ...string) []string {
	var out []string
	c := newChain(t, declare.Declaration{Format: "json", Filters: f}, newSource())
	for _, line := range lines {
		b := record.NewBatch(0)
		b.Records = append(b.Records, record.Record{Line: []byte(line), Source: newSource(), Std: record.Stderr})
		applyAll(c, b, 0, readAt, false)
		if len(b.Records) > 0 {
			out = append(out, line)
		}
	}
	assert.EqualValues(t, len(lines)-len(out), c.Counts().Filtered)
	return out
}

func TestKeepAndDrop(t *testing.T) {
	a, b, plain := `{"level":"info","n":7,"deep":{"er":"x"},"k\"":1}`, `{"level":"debug"}`, `plain`
	for _, c := range []struct {
		filters filters
		want    []string
	}{
		{filters{"keep": "level"}, []string{a, b}},
		{filters{"keep.1": "level", "keep.2": "info"}, []string{a}},
		{filters{"drop": "debug"}, []string{a, plain}},
		{filters{"keep": "level~^info$"}, []string{a}},
		{filters{"drop": "level~^info$"}, []string{b, plain}},
		{filters{"keep": "n~^7$"}, []string{a}},
		{filters{"keep": "deep.er~x"}, []string{a}},
		{filters{"keep": "deep.est~x"}, nil},
		{filters{"keep": "message~plain"}, []string{plain}},
		{filters{"keep": "stream~^stderr$"}, []string{a, b, plain}},
		{filters{"drop": "source~test.log"}, nil},
		{filters{"drop": "source~mine"}, []string{a, b, plain}},
		{filters{"keep": `parse_error~JSON`}, []string{plain}},
	} {
		assert.Equal(t, c.want, passing(t, c.filters, a, b, plain), c.filters)
	}
}

// edited are the message, if there is one, and the fields of line behind the chain of f.
func edited(t *testing.T, f filters, line string) string {
	r := apply(t, declare.Declaration{Format: "json", Filters: f}, line)
	if r.Line == nil {
		return string(r.Fields)
	}
	return string(r.Line) + ": " + string(r.Fields)
}

func TestEdits(t *testing.T) {
	for _, c := range []struct {
		filters    filters
		line, want string
	}{
		{filters{"add": "x=1"}, `{"a":1}`, `"a":1,"x":"1"`},
		{filters{"add": "a=2"}, `{"a":1,"b":1}`, `"app_a":1,"b":1,"a":"2"`},
		{filters{"add": "a=2"}, `{"a":1,"app_a":1}`, `"app_app_a":1,"app_a":1,"a":"2"`},
		{filters{"rename": "source=from,_id=id"}, `{"source":1,"_id":2,"host":3}`, `"from":1,"id":2,"app_host":3`},
		{filters{"remove": "source"}, `{"source":1,"host":3}`, `"app_host":3`},
		{filters{"keep": "source~test.log"}, `{"a":"mine"}`, `"a":"mine"`},
		{filters{"add.q": `say "hi", you`}, `{}`, `"q":"say \"hi\", you"`},
		{filters{"add": "source=mine,offset=1,b=2"}, `{"a":1}`, `"a":1,"b":"2"`},
		{filters{"add": "message=m"}, `{"a":1}`, `"a":1,"message":"m"`},
		{filters{"remove": "a,c"}, `{"a":1,"b":{"a":2},"c":3}`, `"b":{"a":2}`},
		{filters{"remove": "a"}, `{"\u0061":1}`, ``},
		{filters{"remove": "message"}, `plain`, `"parse_error":"the line is not a JSON object"`},
		{filters{"rename": "a=b"}, `{"a":1,"b":2,"c":3}`, `"b":1,"c":3`},
		{filters{"rename": "a=b"}, `{"b":2}`, `"b":2`},
		{filters{"rename": "a=b,b=a"}, `{"a":1,"b":2}`, `"b":1,"a":2`},
		{filters{"rename": "a=c,b=c"}, `{"a":1,"b":2}`, `"c":1,"b":2`},
		{filters{"rename": "a=offset"}, `{"a":1}`, `"a":1`},
		{filters{"rename": "msg=message"}, `{"msg":"m"}`, `"message":"m"`},
		{filters{"rename": "message=log"}, `plain`, `"log":"plain","parse_error":"the line is not a JSON object"`},
		{filters{"add": "a=1", "remove": "b", "rename": "a=b"}, `{"b":0}`, `"b":"1"`},
	} {
		assert.Equal(t, c.want, edited(t, c.filters, c.line), "%v %s", c.filters, c.line)
	}
}

func TestMaskPresets(t *testing.T) {
	for preset, texts := range map[string]map[string]string{
		"email": {
			"bob@example.com": "[email]", "to <a.b+c@x-y.example.org>, ok.": "to <[email]>, ok.", "a@b": "a@b", "@x.y a@ @": "@x.y a@ @",
			"user=bob%40example.com&x": "user=[email]&x", "müller@exämple.de": "[email]", "a@b.c d@e.f": "[email] [email]", "100% @ 5": "100% @ 5",
		},
		"ipv4": {
			"10.0.0.1": "[ipv4]", "10.0.0.1:80 and 255.255.255.255.": "[ipv4]:80 and [ipv4].", "1.2.3.4.5": "1.2.3.4.5", "256.1.1.1": "256.1.1.1",
			"v1.2.3.4": "v1.2.3.4", "1.2.3": "1.2.3", "(127.0.0.1)": "([ipv4])", "1.2.3.4567": "1.2.3.4567", "::ffff:10.1.1.1": "::ffff:[ipv4]",
		},
		"credit_card": {
			"4111111111111111": "[credit_card]", "4111-1111-1111-1111": "[credit_card]", "4111 1111 1111 1111 200 OK": "[credit_card] 200 OK",
			"4111111111111112": "4111111111111112", "378282246310005,": "[credit_card],", "30569309025904": "[credit_card]", "1795248000000": "1795248000000",
			"5555555555554444": "[credit_card]", "6011111111111117": "[credit_card]", "x4111111111111111": "x4111111111111111", "2223003122003222": "[credit_card]",
			"41111111111111111111111": "41111111111111111111111", "3530111333300000": "[credit_card]",
		},
		"bearer": {
			"Authorization: Bearer abc.def": "Authorization: Bearer [bearer]", "bearer  x==": "bearer  [bearer]", "forbearer x": "forbearer x",
			"token=eyJhbGci.eyJzdWIi.c2ln&": "token=[bearer]&", "Bearer%20abc": "Bearer%20[bearer]", "Bearer": "Bearer", "eyJust": "eyJust", "bearer 2": "bearer [bearer]",
		},
	} {
		d := declare.Declaration{Filters: filters{"mask": preset}}
		own := declare.Declaration{Filters: filters{"mask": preset + " => #"}}
		for text, want := range texts {
			assert.Equal(t, want, string(apply(t, d, text).Line), preset)
			assert.Equal(t, strings.ReplaceAll(want, "["+preset+"]", "#"), string(apply(t, own, text).Line), preset)
		}
	}
}

// Whatever the format, what a mask looks for is not in the record.
func TestMasksReachEveryField(t *testing.T) {
	const secret = "bob@example.com"
	for format, line := range map[string]string{
		"none":         secret,
		"json":         `{"a":"x ` + secret + `","b":[{"c":"\u0062ob@example.com"}],"` + secret + `":1,"d":{"` + secret + `":{}}}`,
		"csv":          `"x, ` + secret + `",` + secret,
		"nginx":        `1.1.1.1 - ` + secret + ` [21/Nov/2026:07:41:07 +0000] "GET /?q=` + secret + ` HTTP/1.1" 200 1 "` + secret + `" "\x62ob@example.com" ` + secret,
		"apache_error": `[Wed Oct 11 14:32:52 2000] [error] ` + secret + `, referer: ` + secret,
		"regexp":       secret,
	} {
		for _, keep := range []string{"true", "false"} {
			d := declare.Declaration{Format: format, FormatOptions: map[string]string{"keep_message": keep}, Filters: filters{"mask": "email"}}
			switch format {
			case "csv":
				d.FormatOptions["keys"] = "a,b"
			case "regexp":
				d.FormatOptions["pattern"] = "(?P<a>.*)"
			}
			r := apply(t, d, line)
			text := string(r.Line) + string(record.AppendUnescaped(nil, r.Fields))
			assert.NotContains(t, text, "bob", format)
			assert.Contains(t, text, "[email]", format)
		}
	}
}

func TestNumbersAreMaskedToo(t *testing.T) {
	assert.Equal(t, `"card":"[credit_card]","n":1`, edited(t, filters{"mask": "credit_card"}, `{"card":4111111111111111,"n":1}`))
}

// A pattern that keeps timing out is switched off; what a mask could not look through does not come out.
func TestPatternsThatTakeTooLong(t *testing.T) {
	const evil = `^(?=(a+)+$)` // only a backtracking engine knows lookahead, and this takes it forever
	line := strings.Repeat("a", 60) + "!"
	c := newChain(t, declare.Declaration{Format: "regexp", FormatOptions: map[string]string{"pattern": evil}}, newSource())
	for range maxStrikes + 1 {
		r := applyTo(t, c, line)
		assert.Equal(t, line, string(r.Line))
		assert.Contains(t, string(r.Fields), "the match took too long")
	}
	assert.Contains(t, string(applyTo(t, c, line).Fields), "switched off")

	c = newChain(t, declare.Declaration{Filters: filters{"mask": evil + " => #"}}, newSource())
	assert.Equal(t, unsearched, string(applyTo(t, c, line).Line))
	c = newChain(t, declare.Declaration{Filters: filters{"keep": evil}}, newSource())
	assert.Equal(t, line, string(applyTo(t, c, line).Line))
	c = newChain(t, declare.Declaration{Filters: filters{"drop": evil}}, newSource())
	assert.Equal(t, line, string(applyTo(t, c, line).Line))
}
