// SPDX-License-Identifier: Apache-2.0

package cut

import (
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"github.com/remora-logs/remora/shared/record"
)

// encodings are those that are declared, and what writes them.
var encodings = map[string]encoding.Encoding{
	"utf-16":      unicode.UTF16(unicode.BigEndian, unicode.UseBOM),
	"utf-16le":    unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM),
	"UTF-16BE":    unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM),
	"gbk":         simplifiedchinese.GBK,
	"gb18030":     simplifiedchinese.GB18030,
	"latin1":      charmap.Windows1252, // as the Encoding Standard has it
	"shift_jis":   japanese.ShiftJIS,
	"iso-2022-jp": japanese.ISO2022JP,
}

// textIn is text that the encoding can hold. 上 and ਊ have a newline's byte in UTF-16.
func textIn(name string) string {
	switch {
	case strings.HasPrefix(strings.ToLower(name), "utf"), name == "gb18030":
		return "first\r\n日本 🙂\n上ਊ\n\nunfinished"
	case name == "latin1":
		return "first\r\nnaïve\nÿ\n\nunfinished"
	}
	return "first\r\n日本\n上\n\nunfinished"
}

// feed gives a cutter data in pieces of size bytes, with what it left of them, and returns the lines.
func feedEncoded(t *testing.T, c Cutter, data []byte, size int) (lines []string, offsets []int64) {
	t.Helper()
	at, end := 0, 0
	for at < len(data) {
		end = min(end+size, len(data))
		b := record.NewBatch(1)
		at += c.Cut(b, data[at:end], int64(at), 0, end == len(data))
		for _, r := range b.Records {
			lines, offsets = append(lines, string(r.Line)), append(offsets, r.Offset)
		}
	}
	return lines, offsets
}

func TestEncodedAtEverySplit(t *testing.T) {
	for name, enc := range encodings {
		t.Run(name, func(t *testing.T) {
			text := textIn(name)
			data, err := enc.NewEncoder().Bytes([]byte(text))
			require.NoError(t, err)
			want := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
			for size := 1; size <= len(data); size++ {
				c, err := NewEncoded(name, nil, 1<<20)
				require.NoError(t, err)
				lines, _ := feedEncoded(t, c, data, size)
				require.Equal(t, want, lines, "in pieces of %d", size)
			}
		})
	}
}

func TestEncodedOffsetsAreTheFiles(t *testing.T) {
	data, err := simplifiedchinese.GBK.NewEncoder().Bytes([]byte("日本\nab\n"))
	require.NoError(t, err)
	c, err := NewEncoded("gbk", nil, 1024)
	require.NoError(t, err)
	_, offsets := feedEncoded(t, c, data, len(data))
	require.Equal(t, []int64{0, 5}, offsets)
}

func TestEncodedByteOrderIsGuessedOnResume(t *testing.T) {
	for _, order := range []unicode.Endianness{unicode.LittleEndian, unicode.BigEndian} {
		data, err := unicode.UTF16(order, unicode.IgnoreBOM).NewEncoder().Bytes([]byte("resumed\n"))
		require.NoError(t, err)
		c, err := NewEncoded("utf-16", nil, 1024)
		require.NoError(t, err)
		b := record.NewBatch(1)
		require.Equal(t, len(data), c.Cut(b, data, 100, 0, false))
		require.Equal(t, "resumed", string(b.Records[0].Line))
	}
}

func TestEncodedLongLines(t *testing.T) {
	for name, enc := range encodings {
		text := strings.Repeat("日本", 2000)
		if name == "latin1" {
			text = strings.Repeat("ï", 4000)
		}
		data, err := enc.NewEncoder().Bytes([]byte(text + "\n"))
		require.NoError(t, err)
		c, err := NewEncoded(name, nil, 1024)
		require.NoError(t, err)
		b := record.NewBatch(1)
		require.Equal(t, len(data), c.Cut(b, data, 0, 0, false), name)
		var all strings.Builder
		for i, r := range b.Records {
			require.Equal(t, i < len(b.Records)-1, r.Truncated)
			all.Write(r.Line)
		}
		if name != "iso-2022-jp" { // its pieces do not stand alone: the shift into Japanese is in the first
			require.Equal(t, text, all.String(), name)
		}
	}
}

// Holes and byte order marks are no part of a record, in whichever order the bytes come.
func TestEncodedHolesAndMarks(t *testing.T) {
	for _, name := range []string{"utf-16", "utf-16le", "utf-16be"} {
		encode := func(text string) (out []byte) {
			for _, unit := range utf16.Encode([]rune(text)) {
				if out = append(out, byte(unit), byte(unit>>8)); name != "utf-16le" {
					out[len(out)-2], out[len(out)-1] = byte(unit>>8), byte(unit)
				}
			}
			return out
		}
		text := encode(strings.Repeat("\x00", 5000) + "\ufeffa\n" + strings.Repeat("\x00", 100) + "b\n\x00c\n")
		for _, size := range []int{2, 3, 7, 100, len(text)} {
			c, err := NewEncoded(name, record.NewSource("s", "n", "p", "t", nil, nil), 1000)
			require.NoError(t, err)
			got, offsets := feedEncoded(t, c, text, size)
			require.Equal(t, []string{"a", "b", "\x00c"}, got, "%s by %d", name, size)
			require.Equal(t, []int64{10000, 10206, 10210}, offsets)
			skipped, places := c.Skipped()
			require.EqualValues(t, 10200, skipped)
			require.EqualValues(t, 2, places)
		}
	}
}

func TestEncodedUnknown(t *testing.T) {
	_, err := NewEncoded("klingon", nil, 1024)
	require.ErrorContains(t, err, "klingon")
}

func FuzzEncoded(f *testing.F) {
	f.Add([]byte("a\x00\n\x00"), 3, true)
	f.Add([]byte("\xff\xfe\x0a\x00\xd8\x00"), 1, false)
	f.Fuzz(func(t *testing.T, data []byte, size int, wide bool) {
		if size < 1 {
			return
		}
		name := map[bool]string{true: "utf-16", false: "gbk"}[wide]
		c, err := NewEncoded(name, nil, 64)
		require.NoError(t, err)
		whole, err := NewEncoded(name, nil, 64)
		require.NoError(t, err)
		at, end := 0, 0
		for steps := 0; at < len(data); steps++ {
			require.Less(t, steps, 2*len(data)+2, "no progress")
			end = min(end+size, len(data))
			n := c.Cut(record.NewBatch(1), data[at:end], int64(at), 0, end == len(data))
			require.LessOrEqual(t, n, end-at)
			at += n
		}
		require.Equal(t, len(data), whole.Cut(record.NewBatch(1), data, 0, 0, true))
	})
}
