// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/cputime"
	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

// applyBounded runs input through c in turns, and requires of each what Apply promises: its growth is bounded, whatever
// is declared. It returns how many records came, and the size of the largest.
func applyBounded(t testing.TB, c *Chain, src *record.Source, input []byte, limit int) (records, largest int) {
	t.Helper()
	b := record.NewBatch(len(input) + 1)
	n := copy(b.Free(), input)
	data := b.Free()[:n]
	b.Keep(cut.NewLines(src, limit).Cut(b, data, 0, readAt, true))
	for from, last := 0, true; ; from, last = 0, false {
		size := b.Size()
		c.Apply(b, from, readAt, last)
		require.LessOrEqual(t, b.Size()-size, maxGrowth+16*limit+1<<20)
		for i := range b.Records {
			r := &b.Records[i]
			requireSound(t, r)
			records, largest = records+1, max(largest, len(r.Line)+len(r.Fields))
		}
		if !c.Pending() {
			return records, largest
		}
		b.Reset()
	}
}

// A few KB of labels ask for as much as they can of a single line, and of thousands of empty ones. What comes out is
// bounded by the limit of a record, and says that it was cut.
func TestFiltersCannotMakeARecordLargerThanRecordsMayBe(t *testing.T) {
	const limit = 64 << 10
	grow := strings.Repeat("a", 60)
	for name, filters := range map[string]map[string]string{
		"masks in a chain": {"mask.1": "a => " + grow, "mask.2": "a => " + grow, "mask.3": "a => " + grow, "mask.4": "a => " + grow, "mask.5": "a => " + grow},
		"empty matches":    {"mask.1": "x* => " + grow, "mask.2": "x* => " + grow, "mask.3": "x* => " + grow},
		"groups":           {"mask.1": "(.*) => " + strings.Repeat("$1", 500), "mask.2": "(.*) => " + strings.Repeat("$1", 500), "mask.3": "(.*) => " + strings.Repeat("$1", 500)},
		"presets":          {"mask.1": "email => " + strings.Repeat("a@b.c ", 200), "mask.2": "email => " + strings.Repeat("a@b.c ", 200), "mask.3": "email => " + strings.Repeat("a@b.c ", 200)},
		"json":             {"mask.1": `"a" => "` + grow + `"`, "mask.2": `a => ` + grow, "mask.3": `"(a+)":1 => ` + strings.Repeat(`"$1":1`, 500), "mask.4": "a => " + grow},
		"values":           {"add": "x=" + strings.Repeat("v", limit), "rename": "x=y"},
		"values and names": {"add.x": strings.Repeat("v", limit-9), "rename": "x=" + strings.Repeat("n", 2000)},
		"message":          {"add.message": strings.Repeat("v", 2*limit)},
	} {
		for _, form := range []string{"none", "json"} {
			for _, line := range []string{strings.Repeat("a@a.aa a", 100), `{"a":1,"b":["aaa","a@a.aa"],"c":"a","aa":1}`} {
				src := newSource()
				c, err := New(declare.Declaration{Name: "n", Format: form, Filters: filters}, src, Options{Log: quiet, MaxRecordBytes: limit})
				require.NoError(t, err, name)
				records, largest := applyBounded(t, c, src, bytes.Repeat([]byte(line+"\n"), 20), limit)
				require.Equal(t, 20, records, name)
				require.LessOrEqual(t, largest, limit+200, "%s %s", name, form) // parse_error is Remora's
			}
		}
	}
}

// What a mask had no room for is not sent, neither what it had not reached nor the beginning of a secret.
func TestWhatIsCutBeforeItWasMaskedIsNotSent(t *testing.T) {
	const limit = 20 << 10
	secret := "alice@home.org"
	for offset := range 40 {
		line := strings.Repeat("x", 9_000+offset) + strings.Repeat(" "+secret, 600)
		for _, filters := range []map[string]string{
			{"mask.1": "x => yy", "mask.2": "email"}, {"mask.1": "x => yy", "mask.2": `alice@home\.org => -`},
			{"mask.1": "x => yyy", "mask.2": "y => zzz", "mask.3": `alice@\S* => -`},
		} {
			for _, d := range []declare.Declaration{{Filters: filters}, {Format: "json", Filters: filters}} {
				text := line
				if d.Format == "json" {
					text = `{"a":"` + line + `","b":"` + secret + `"}`
				}
				c, err := New(d, newSource(), Options{Log: quiet, MaxRecordBytes: limit})
				require.NoError(t, err)
				b := record.NewBatch(0)
				b.Records = append(b.Records, record.Record{Line: []byte(text), Source: newSource()})
				applyAll(c, b, 0, readAt, true)
				r := b.Records[0]
				require.False(t, strings.Contains(string(r.Line)+string(r.Fields), "al"), "%v", filters)
				require.True(t, r.Truncated)
			}
		}
	}
}

// Adding, removing and renaming cost time that is linear in what is declared and in the fields.
func TestEditsTakeLinearTime(t *testing.T) {
	var line, rename, remove strings.Builder
	for i := range 100 {
		fmt.Fprintf(&rename, "a%d=b%d,", i, i)
		fmt.Fprintf(&remove, "c%d,", i)
	}
	line.WriteString(`{"z":0`)
	for i := range 10_000 {
		fmt.Fprintf(&line, `,"a%d":1,"c%d":2`, i, i)
	}
	line.WriteString("}")
	c := newChain(t, declare.Declaration{Format: "json", Filters: map[string]string{"rename": rename.String(), "remove": remove.String(), "add": "q=1"}}, newSource())
	begin := cputime.Start()
	applyTo(t, c, line.String())
	require.Less(t, begin.Stop(), 2*time.Second)
}

// hostile makes a declaration of all keys at random, with values that people write, and with such as only those write who
// mean harm. What the dialect refuses is not tried.
func hostile(random *rand.Rand) (declare.Declaration, bool) {
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	long := func(most int, of string) string { return strings.Repeat(of, random.IntN(1+most/len(of))) }
	expr := func() string {
		return pick("a", "x*", "(a+)+$", "(?=a)(a+)+$", ".*", "(.?){200}x", "(?<!b)a", "^", "$", `\w+@`, `"a":[^,]*`, `(?<g>.)`, "(?s).", "[[:alpha:]]{1,100}",
			"(a|aa)+!", "(?i)ß", `(\w+)\s\1`, long(8<<10, "a|"))
	}
	replacement := func() string { return pick("", "$0$0$0", "$g", "[x]", long(8<<10, "a@b.c "), long(8<<10, "$0")) }
	text := func() string { return pick("v", "", "\xff", "\"\\", long(100<<10, "v"), "line\nbreak", "{}") }
	field := func() string {
		return pick("a", "b", "message", "@timestamp", "source", "x.y", "time", "level", "app_a", "_id", long(1<<10, "n"))
	}
	d := declare.Declaration{Name: "n", Source: "/l", Target: "t", FormatOptions: map[string]string{}, Multiline: map[string]string{}, Filters: map[string]string{}}
	d.Format = pick(formatNames...)
	for _, o := range formatOptions {
		if random.IntN(4) == 0 {
			d.FormatOptions[o] = pick("true", "1", ",", "time", "a", "%Y", "unix", "UTC", "a.b", "_", "text", "ecs", "otel", "app", "payload", expr(), `$remote_addr [$time_local] "$request" $status`)
		}
	}
	if d.Format == "csv" || random.IntN(9) == 0 {
		d.FormatOptions["keys"] = pick("a,b,c", "time,message,a", "a", long(4<<10, "k,")+"a", "offset,source")
	}
	if d.Format == "regexp" {
		d.FormatOptions["pattern"] = pick(`(?<a>.*)`, `^(?<a>\S+) (?<message>.*)$`, `(?=(?<a>.*)a)`, `(?<a>a*)(?<b>b*)`, expr())
	}
	switch random.IntN(3) {
	case 0:
		d.Multiline["preset"] = pick(declare.MultilinePresets...)
	case 1:
		d.Multiline[pick("start", "end", "continue")] = expr()
	}
	if len(d.Multiline) > 0 && random.IntN(2) == 0 {
		d.Multiline["max_lines"], d.Multiline["max_bytes"] = pick("1", "7", "100000"), pick("1", "400", "1g")
	}
	for range random.IntN(6) {
		switch word := pick("keep", "drop", "mask", "add", "remove", "rename", "sample", "rate_limit"); word {
		case "keep", "drop":
			d.Filters[word+"."+pick("1", "2", "3")] = pick("", field()+"~") + expr()
		case "mask":
			d.Filters[word+"."+pick("1", "2", "3", "4")] = pick(expr(), pick(declare.MaskPresets...)) + " => " + replacement()
		case "add":
			d.Filters["add."+field()] = text()
		case "remove":
			d.Filters["remove"] = field() + "," + field()
		case "rename":
			d.Filters["rename."+field()] = field()
		case "sample":
			d.Filters["sample"] = pick("1", "3")
		case "rate_limit":
			d.Filters["rate_limit"] = pick("1", "1e9")
		}
	}
	f, err := declare.ParseFilters(d.Filters)
	return d, err == nil && len(f.Keep)+len(f.Drop)+len(f.Masks) <= declare.MaxExpressions
}

// hostileLines are lines that some format takes, or nearly, and such as are made to be searched again and again.
func hostileLines(random *rand.Rand) []byte {
	var b bytes.Buffer
	for range random.IntN(30) {
		switch random.IntN(4) {
		case 0:
			b.WriteString(jsonLine)
		case 1:
			b.WriteString(nginxLine)
		case 2:
			fmt.Fprintf(&b, `{"a":%q,"a":1,"time":%d,"x":{"y":[1,{"z":"a@b.c"}]},"source":"me","message":"m"}`, strings.Repeat("a", random.IntN(200)), random.Int64())
		default:
			pieces := []string{"a", "x", " ", `"`, `\`, `{"a":`, ",", "[", "]", "\x00", "\xff", "%40", "a@b.c ", "4111 1111 1111 1111 ", "=", ": ", "at x\n\t", "2026-11-21 08:00:00 ", "<34>1 ", "\n"}
			b.WriteString(strings.Repeat(pieces[random.IntN(len(pieces))], random.IntN(3000)))
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// FuzzDeclarations holds for every declaration and all lines: nothing panics, all records are sound, none is much larger
// than records may be, no call adds more to a batch than it may, and a record costs no more CPU time than its expressions
// are allowed.
func FuzzDeclarations(f *testing.F) {
	for seed := range uint64(16) {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		random := rand.New(rand.NewPCG(a, b))
		d, ok := hostile(random)
		if !ok {
			return
		}
		const limit = 32 << 10
		src := newSource(record.Tag{Key: "app", Value: "shop"})
		c, err := New(d, src, Options{Log: quiet, MaxRecordBytes: limit})
		if c == nil || err != nil {
			return
		}
		input := hostileLines(random)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		lines := 1 + bytes.Count(input, []byte("\n"))
		_, largest := applyBounded(t, c, src, input, limit)
		runtime.ReadMemStats(&after)
		require.Less(t, largest, 8*limit+128<<10, "%v", d) // a control character takes six bytes in JSON, and fields have names
		require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(128<<20), "%v", d)
		expressions := len(d.Filters) + len(d.Multiline) + 1
		require.Less(t, c.CPU(), time.Second+time.Duration(expressions)*30*100*time.Millisecond+time.Duration(lines)*20*time.Millisecond, "%v", d)
	})
}

// formatNames and formatOptions are what the dialect knows, for declarations that are made at random.
var (
	formatNames   = []string{"none", "json", "csv", "nginx", "apache2", "apache_error", "nginx_error", "logfmt", "kv", "klog", "syslog", "regexp"}
	formatOptions = []string{"keep_message", "log_format", "pair", "separator", "quote", "schema", "into", "depth", "dots", "decode", "numbers", "delimiter", "lazy_quotes", "time_format", "time_key", "time_zone"}
)
