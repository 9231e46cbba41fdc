// SPDX-License-Identifier: Apache-2.0

package cut_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/internal/logdriver"
	"github.com/remora-logs/remora/shared/record"
)

// wrote is a message, or a piece of one, as a runtime is told to write it.
type wrote struct {
	std  string
	text string
	more bool // the message continues
}

// format is one of the runtimes' files: how a runtime writes it, and what reads it.
type format struct {
	name   string
	encode func(w wrote, at time.Time) []byte
	cutter func(stream io.ReaderAt, max int) cut.Cutter
}

var formats = []format{
	{"cri", encodeCRI, func(s io.ReaderAt, max int) cut.Cutter { return cut.NewCRI(source, s, max, 5*second) }},
	{"json-file", encodeJSON, func(s io.ReaderAt, max int) cut.Cutter { return cut.NewJSONFile(source, s, max, 5*second) }},
	{"json-file in a Pod's directory", encodeJSON, func(s io.ReaderAt, max int) cut.Cutter { return cut.NewCRI(source, s, max, 5*second) }},
	{"local", encodeLocal, func(s io.ReaderAt, max int) cut.Cutter { return cut.NewLocal(source, s, max, 5*second) }},
}

func encodeCRI(w wrote, at time.Time) []byte {
	tag := "F"
	if w.more {
		tag = "P"
	}
	return fmt.Appendf(nil, "%s %s %s %s\n", at.Format(time.RFC3339Nano), w.std, tag, w.text)
}

func encodeJSON(w wrote, at time.Time) []byte {
	text := w.text
	if !w.more {
		text += "\n"
	}
	line, err := json.Marshal(struct {
		Log    string            `json:"log"`
		Stream string            `json:"stream"`
		Attrs  map[string]string `json:"attrs,omitempty"`
		Time   time.Time         `json:"time"`
	}{text, w.std, map[string]string{"tag": `a "quoted" {brace`}, at})
	if err != nil {
		panic(err)
	}
	return append(line, '\n')
}

// encodeLocal writes what a piece of a message is in the file: all of them, the last too, have metadata.
func encodeLocal(w wrote, at time.Time) []byte {
	e := logdriver.LogEntry{Source: w.std, TimeNano: at.UnixNano(), Line: []byte(w.text)}
	if w.more {
		e.Partial, e.PartialLogMetadata = true, &logdriver.PartialLogEntryMetadata{Id: w.std}
	} else if strings.HasPrefix(w.text, "end ") {
		e.Partial, e.PartialLogMetadata = true, &logdriver.PartialLogEntryMetadata{Id: w.std, Last: true}
	}
	framed := encode(e)
	return append(framed, framed[:4]...)
}

// began is when the first message was written. Its zone and decimals are as a runtime has them.
var began = time.Date(2026, 2, 28, 23, 59, 59, 120_000_000, time.FixedZone("", 8*3600))

func encodeAll(f format, all []wrote) (data []byte) {
	for i, w := range all {
		data = append(data, f.encode(w, began.Add(time.Duration(i)*time.Second))...)
	}
	return data
}

func each(t *testing.T, test func(t *testing.T, f format)) {
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) { test(t, f) })
	}
}

func TestRuntimeFilesOfEverySplit(t *testing.T) {
	each(t, func(t *testing.T, f format) {
		all := []wrote{{"stdout", "one", false}, {"stderr", "", false}, {"stdout", "two a ", true}, {"stderr", "between a ", true},
			{"stdout", "two b ", true}, {"stderr", "end between", false}, {"stdout", "end two", false},
			{"stdout", `"quotes", \back\n, ü 你 <&> ` + "\t", false}, {"stderr", "unterminated ", true}}
		data := encodeAll(f, all)
		want := []string{"one", "", "between a end between", "two a two b end two", `"quotes", \back\n, ü 你 <&> ` + "\t", "unterminated "}
		got := cutAll(f.cutter(bytes.NewReader(data), 64), data)
		require.Equal(t, want, lines(got))
		require.Equal(t, []record.Std{record.Stdout, record.Stderr, record.Stderr, record.Stdout, record.Stdout, record.Stderr},
			[]record.Std{got[0].Std, got[1].Std, got[2].Std, got[3].Std, got[4].Std, got[5].Std})
		for split := range data {
			require.Equal(t, got, cutAll(f.cutter(bytes.NewReader(data), 64), data, split), "split at %d", split)
		}
	})
}

// A record's time is the runtime's; of a message in pieces, that of the first one.
func TestTimeIsTheRuntimes(t *testing.T) {
	each(t, func(t *testing.T, f format) {
		data := encodeAll(f, []wrote{{"stdout", "one", false}, {"stdout", "a ", true}, {"stdout", "end b", false}})
		b := record.NewBatch(0)
		f.cutter(bytes.NewReader(data), 64).Cut(b, bytes.Clone(data), 0, 1, true)
		require.Len(t, b.Records, 2)
		require.Equal(t, began.UnixNano(), b.Records[0].Time)
		require.Equal(t, began.Add(time.Second).UnixNano(), b.Records[1].Time)
	})
}

func TestUnfinishedRuntimeMessages(t *testing.T) {
	each(t, func(t *testing.T, f format) {
		data := encodeAll(f, []wrote{{"stdout", "begun", true}})
		c, b := f.cutter(bytes.NewReader(append(make([]byte, 100), data...)), 64), record.NewBatch(0)
		require.Equal(t, len(data), c.Cut(b, bytes.Clone(data), 100, 1*second, false))
		require.EqualValues(t, 100, c.Open())
		c.Expire(b, 5*second)
		require.Empty(t, b.Records)
		c.Expire(b, 6*second)
		require.NoError(t, c.Err())
		require.Len(t, b.Records, 1)
		require.Equal(t, "begun", string(b.Records[0].Line))
		require.EqualValues(t, -1, c.Open())
	})
}

func TestRuntimeMessagesOverTheLimit(t *testing.T) {
	each(t, func(t *testing.T, f format) {
		data := encodeAll(f, []wrote{{"stdout", strings.Repeat("a", 40), true}, {"stdout", strings.Repeat("b", 40), true},
			{"stdout", "end c", false}, {"stdout", strings.Repeat("d", 100), false}, {"stderr", strings.Repeat("ä", 60), false}})
		want := []got{}
		for _, text := range []string{strings.Repeat("a", 40), strings.Repeat("b", 40) + "end c", strings.Repeat("d", 64),
			strings.Repeat("d", 36), strings.Repeat("ä", 32), strings.Repeat("ä", 28)} {
			want = append(want, got{Line: text})
		}
		whole := cutAll(f.cutter(bytes.NewReader(data), 64), data)
		require.Equal(t, lines(want), lines(whole))
		offsets := map[int64]bool{}
		for i, r := range whole {
			require.Equal(t, i%2 == 0, r.Truncated)
			require.False(t, offsets[r.Offset], "two records have the same offset")
			offsets[r.Offset] = true
		}
		for split := range data {
			require.Equal(t, whole, cutAll(f.cutter(bytes.NewReader(data), 64), data, split), "split at %d", split)
		}
	})
}

// containerd cuts no lines where max_container_log_line_size is 0: one may be of any length.
func TestALineThatIsLongerThanABatch(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 1000)
	data := encodeAll(formats[0], []wrote{{"stderr", "begun ", true}, {"stderr", text, false}, {"stdout", "after", false}})
	c, b := cut.NewCRI(source, bytes.NewReader(data), 64, second), record.NewBatch(0)
	var have strings.Builder
	for at := 0; at < len(data); {
		piece := bytes.Clone(data[at:min(at+150, len(data))])
		n := c.Cut(b, piece, int64(at), 1, at+150 >= len(data))
		require.Positive(t, n, "nothing of %d bytes is taken at %d", len(piece), at)
		at += n
		for _, r := range b.Records {
			have.Write(r.Line)
		}
		b.Reset()
		if at > 200 && at < len(data)-200 {
			require.EqualValues(t, len(encodeCRI(wrote{"stderr", "begun ", true}, began)), c.Open(), "a restart begins at the line's start")
		}
	}
	require.Equal(t, "begun "+text+"after", have.String())
	skipped, _ := c.Skipped()
	require.Zero(t, skipped)
}

func TestCRIForms(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want []string
	}{
		"no decimals":             {"2026-01-02T03:04:05Z stdout F a\n", []string{"a"}},
		"many decimals":           {"2026-01-02T03:04:05.1234567890123Z stdout F a\n", []string{"a"}},
		"a zone":                  {"2026-01-02T03:04:05.1+05:30 stdout F a\n", []string{"a"}},
		"more tags":               {"2026-01-02T03:04:05Z stdout P:x:y a\n2026-01-02T03:04:05Z stdout F:z b\n", []string{"ab"}},
		"P is not F":              {"2026-01-02T03:04:05Z stdout F:P a\n", []string{"a"}},
		"no text":                 {"2026-01-02T03:04:05Z stdout F \n", []string{""}},
		"no text and no space":    {"2026-01-02T03:04:05Z stdout F\n", []string{""}},
		"spaces are text":         {"2026-01-02T03:04:05Z stdout F  a \n", []string{" a "}},
		"a write not finished":    {"2026-01-02T03:04:05Z stdout F a\n2026-01-02T03:04:05Z stdout F half", []string{"a", "half"}},
		"a header not finished":   {"2026-01-02T03:04:05Z stdout F a\n2026-01-02T03:0", []string{"a"}},
		"another stream":          {"2026-01-02T03:04:05Z stdlog F a\n2026-01-02T03:04:05Z stdout F b\n", []string{"b"}},
		"another tag":             {"2026-01-02T03:04:05Z stdout X a\n2026-01-02T03:04:05Z stdout FF a\n2026-01-02T03:04:05Z stdout F b\n", []string{"b"}},
		"zeros":                   {"\x00\x00\x00" + "2026-01-02T03:04:05Z stdout F a\n" + strings.Repeat("\x00", 5000), []string{"a"}},
		"what is no line at all":  {"hello\n" + strings.Repeat("x", 5000) + "\n\n2026-01-02T03:04:05Z stdout F a\n", []string{"a"}},
		"a time that is none":     {"2026-13-02T03:04:05Z stdout F a\n2026-01-02T03:04:05 stdout F b\n2026-01-02T03:04:05.Z stdout F c\n", nil},
		"docker's among runtimes": {`{"log":"a\n","stream":"stderr","time":"2026-01-02T03:04:05.5Z"}` + "\n2026-01-02T03:04:05Z stdout F b\n", []string{"a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			data := []byte(c.in)
			require.Equal(t, c.want, lines(cutAll(cut.NewCRI(source, bytes.NewReader(data), 64, second), data)))
			for split := range data {
				require.Equal(t, c.want, lines(cutAll(cut.NewCRI(source, bytes.NewReader(data), 64, second), data, split)), "split at %d", split)
			}
		})
	}
}

func TestJSONFileForms(t *testing.T) {
	const good = `{"log":"good\n","stream":"stdout","time":"2026-01-02T03:04:05.5Z"}` + "\n"
	for name, c := range map[string]struct {
		in   string
		want []string
	}{
		"any order":               {`{"time":"2026-01-02T03:04:05Z","x":{"y":["},",1]},"stream":"stderr","n":null,"log":"a\n"}` + "\n", []string{"a"}},
		"escapes":                 {`{"log":"\u00e9\ud83d\ude00\u003c\/\b\f\r\t\"\\\n\n","stream":"stdout"}` + "\n", []string{"é😀</\b\f\r\t\"\\\n"}},
		"half a surrogate":        {`{"log":"a\ud83dz\n","stream":"stdout"}` + "\n", []string{"a\uFFFDz"}},
		"a backslash and an n":    {`{"log":"a\\n","stream":"stdout"}` + "\n" + `{"log":"b\n","stream":"stdout"}` + "\n", []string{`a\nb`}},
		"two backslashes":         {`{"log":"a\\\\\n","stream":"stdout"}` + "\n", []string{`a\\`}},
		"zeros between":           {good + strings.Repeat("\x00", 5000) + good, []string{"good", "good"}},
		"zeros in a line":         {`{"log":"torn` + strings.Repeat("\x00", 500) + good + good, []string{"good", "good"}},
		"zeros over two lines":    {`{"log":"torn` + strings.Repeat("\x00", 500) + `ng\n","stream":"stdout"}` + "\n" + good, []string{"good"}},
		"a write not finished":    {`{"log":"torn` + good + good, []string{"good", "good"}},
		"… in the stream's name":  {`{"log":"torn\n","stream":"std` + good, []string{"good"}},
		"… after a member":        {`{"log":"torn\n"` + good, []string{"good"}},
		"a line without an end":   {good + `{"log":"half\n","str`, []string{"good"}},
		"no newline at the end":   {good + `{"log":"whole\n","stream":"stdout"}`, []string{"good", "whole"}},
		"what is no object":       {"hello\n[]\n\n{}x\n{\n{\"log\":\"a\n" + good, []string{"good"}},
		"an escape that is none":  {`{"log":"a\q\u12\n","stream":"stdout"}` + "\n", []string{`a\q\u12`}},
		"a log that is no string": {`{"log":{"a":1},"stream":"stdout","time":"2026-01-02T03:04:05Z"}` + "\n", []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			data := []byte(c.in)
			require.Equal(t, c.want, lines(cutAll(cut.NewJSONFile(source, bytes.NewReader(data), 64, second), data)))
			for split := range data {
				require.Equal(t, c.want, lines(cutAll(cut.NewJSONFile(source, bytes.NewReader(data), 64, second), data, split)), "split at %d", split)
			}
		})
	}
}

func TestDamageInLocalCostsTheDamagedRecordAlone(t *testing.T) {
	local := formats[3]
	one := encodeAll(local, []wrote{{"stdout", "before", false}})
	two := encodeAll(local, []wrote{{"stderr", "after", false}})
	for name, bad := range map[string][]byte{
		"zeros":                make([]byte, 5000),
		"another trailer":      append(encode(line("stdout", "damaged")), 0, 0, 0, 9),
		"half a record":        one[:len(one)/2],
		"half a trailer":       one[:len(one)-2],
		"a length of 4 GiB":    binary.BigEndian.AppendUint32(nil, 0xffffffff),
		"no trailer at all":    encode(line("stdout", "damaged")),
		"a trailer on its own": {0, 0, 0, 15},
	} {
		t.Run(name, func(t *testing.T) {
			data := append(append(bytes.Clone(one), bad...), two...)
			c := cut.NewLocal(source, bytes.NewReader(data), 64, second)
			all := lines(cutAll(c, data))
			require.Equal(t, "before", all[0])
			require.Equal(t, "after", all[len(all)-1])
			skipped, places := c.Skipped()
			require.Positive(t, skipped)
			require.EqualValues(t, 1, places)
		})
	}
}

// One bit of a file is flipped: the lines of other records come as they were.
func TestRandomBitFlipsInRuntimeFiles(t *testing.T) {
	each(t, func(t *testing.T, f format) {
		rng := rand.New(rand.NewPCG(1, 2))
		for range 2000 {
			var all []wrote
			var ends []int
			var data []byte
			for i := range 12 {
				all = append(all, wrote{"stdout", fmt.Sprintf("line %d %s", i, strings.Repeat("x", rng.IntN(30))), false})
				data = append(data, f.encode(all[i], began)...)
				ends = append(ends, len(data))
			}
			at := rng.IntN(len(data))
			data[at] ^= 1 << rng.IntN(8)
			damaged := 0
			for ends[damaged] <= at {
				damaged++
			}
			have := strings.Join(lines(cutAll(f.cutter(bytes.NewReader(data), 1<<10), data)), "\x00")
			for i, w := range all {
				// A newline that is none any more joins two lines of CRI: the second one's text is still there.
				require.True(t, i == damaged || strings.Contains(have, w.text) || i == damaged+1 && at == ends[damaged]-1 && f.name != "cri",
					"record %d is gone, damaged was %d, at byte %d: %q", i, damaged, at, data)
			}
		}
	})
}

// A reader that is killed at any moment and resumes at Low, as the pipeline does, delivers each message once, whole.
func TestModelOfRuntimeFiles(t *testing.T) {
	each(t, func(t *testing.T, f format) {
		rapid.Check(t, func(t *rapid.T) {
			var data []byte
			var want []string
			open := map[string]string{}
			for i := range rapid.IntRange(0, 30).Draw(t, "writes") {
				w := wrote{std: rapid.SampledFrom([]string{"stdout", "stderr"}).Draw(t, "std"), more: rapid.Bool().Draw(t, "more")}
				w.text = fmt.Sprintf("%d %s", i, rapid.SampledFrom([]string{"", `"`, "\t\\", "text", "ü"}).Draw(t, "text"))
				if !w.more && open[w.std] != "" {
					w.text = "end " + w.text
				}
				data = append(data, f.encode(w, began)...)
				if open[w.std] += w.text; !w.more {
					want = append(want, open[w.std])
					open[w.std] = ""
				}
			}
			for _, std := range []string{"stdout", "stderr"} {
				if open[std] != "" {
					want = append(want, open[std])
				}
			}
			require.Equal(t, want, resumed(t, f, data))
		})
	})
}

// resumed reads data in pieces of random length, with a new cutter now and then.
func resumed(t *rapid.T, f format, data []byte) (all []string) {
	c, low, done, at := f.cutter(bytes.NewReader(data), 1<<10), 0, 0, 0
	for end := 0; ; {
		if rapid.IntRange(0, 3).Draw(t, "kill") == 0 {
			c, at = f.cutter(bytes.NewReader(data), 1<<10), low
		}
		end = min(max(end, at)+rapid.IntRange(1, 60).Draw(t, "bytes"), len(data))
		replay := at < done
		if replay {
			end = done
		}
		b, last := record.NewBatch(0), end == len(data) && !replay
		at += c.Cut(b, bytes.Clone(data[at:end]), int64(at), 1, last)
		require.NoError(t, c.Err())
		if replay {
			require.Equal(t, done, at)
			continue
		}
		for _, r := range b.Records {
			all = append(all, string(r.Line))
		}
		if low, done = at, at; c.Open() >= 0 {
			low = int(c.Open())
		}
		if last {
			return all
		}
	}
}

func FuzzCRI(f *testing.F) {
	f.Add(encodeAll(formats[0], []wrote{{"stdout", "a", true}, {"stderr", "b", false}}), 9)
	f.Add(encodeAll(formats[1], []wrote{{"stdout", "a", true}, {"stderr", "b", false}}), 9)
	f.Fuzz(func(t *testing.T, data []byte, split int) { anyBytes(t, formats[0], data, split) })
}

func FuzzJSONFile(f *testing.F) {
	f.Add(encodeAll(formats[1], []wrote{{"stdout", "a\"\\ü", true}, {"stderr", "b", false}}), 9)
	f.Fuzz(func(t *testing.T, data []byte, split int) {
		anyBytes(t, formats[1], data, split)
		var want struct{ Log, Stream, Time string }
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		if len(rest) > 0 || json.Unmarshal(line, &want) != nil || !json.Valid(line) || bytes.Count(line, []byte(`"`)) != 8 ||
			!bytes.HasPrefix(line, []byte(`{"log":"`)) || len(want.Log) > 1000 || strings.ContainsRune(want.Log, '\uFFFD') || !strings.HasSuffix(want.Log, "\n") {
			return
		}
		all := cutAll(cut.NewJSONFile(source, bytes.NewReader(data), 1<<10, second), data)
		require.Len(t, all, 1)
		require.Equal(t, want.Log[:len(want.Log)-1], all[0].Line)
	})
}

func FuzzLocal(f *testing.F) {
	f.Add(encodeAll(formats[3], []wrote{{"stdout", "a", true}, {"stderr", "b", false}}), 9)
	f.Fuzz(func(t *testing.T, data []byte, split int) { anyBytes(t, formats[3], data, split) })
}

// anyBytes checks what holds whatever the bytes are: the same records wherever they are split, and none over the limit.
func anyBytes(t *testing.T, f format, data []byte, split int) {
	n := len(data) + 1
	split = (split%n + n) % n
	whole := cutAll(f.cutter(bytes.NewReader(data), 32), data)
	if f.name != "local" { // which takes a record of zeros for the beginning of one, and may find out too late
		require.Equal(t, fmt.Sprint(whole), fmt.Sprint(cutAll(f.cutter(bytes.NewReader(data), 32), data, split)))
	}
	for _, r := range whole {
		require.LessOrEqual(t, len(r.Line), 32)
	}
}

// accessLine is a line of nginx's combined log.
const accessLine = `10.1.2.3 - - [21/Nov/2026:08:00:00 +0000] "GET /some/path HTTP/1.1" 200 5678 "-" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"`

// encodePlainJSON writes an object as the engine does where no attributes were chosen.
func encodePlainJSON(w wrote, at time.Time) []byte {
	text, err := json.Marshal(w.text + "\n")
	if err != nil {
		panic(err)
	}
	return fmt.Appendf(nil, `{"log":%s,"stream":%q,"time":%q}`+"\n", text, w.std, at.Add(123).UTC().Format(time.RFC3339Nano))
}

func BenchmarkRuntimeFiles(b *testing.B) {
	for _, f := range append(formats[:len(formats):len(formats)], format{"json-file without attributes", encodePlainJSON, formats[1].cutter}) {
		b.Run(f.name, func(b *testing.B) {
			var all []wrote
			for range 1000 {
				all = append(all, wrote{"stdout", accessLine, false})
			}
			data := encodeAll(f, all)
			batch := record.NewBatch(1 << 20)
			c := f.cutter(bytes.NewReader(data), 1<<20)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset()
				c.Cut(batch, data, 0, 1, false)
			}
		})
	}
}
