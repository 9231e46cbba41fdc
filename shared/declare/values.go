// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/remora-logs/remora/shared/pattern"
)

// Pair is a key and its value.
type Pair struct{ Key, Value string }

// parsePairs parses k=v,k=v. A value may contain equals signs, but no comma. Blanks around keys and values and empty elements
// are ignored.
func parsePairs(s string) ([]Pair, error) {
	var pairs []Pair
	for element := range strings.SplitSeq(s, ",") {
		if element = strings.TrimSpace(element); element == "" {
			continue
		}
		key, value, _ := strings.Cut(element, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if key == "" || value == "" {
			return nil, fmt.Errorf("%s is not of the form key=value", quote(element))
		}
		pairs = append(pairs, Pair{key, value})
	}
	return pairs, nil
}

// SplitList splits a list at commas, except for those within {}. Blanks around elements and empty elements are ignored.
func SplitList(s string) []string {
	var list []string
	depth, start := 0, 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) {
			switch s[i] {
			case '{':
				depth++
			case '}':
				depth = max(0, depth-1)
			}
			if s[i] != ',' || depth > 0 {
				continue
			}
		}
		if element := strings.TrimSpace(s[start:i]); element != "" {
			list = append(list, element)
		}
		start = i + 1
	}
	return list
}

// SplitColumns splits a list of names, some of which may be empty. A comma at the end names no column.
func SplitColumns(s string) []string {
	names := strings.Split(strings.TrimSuffix(strings.TrimSpace(s), ","), ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}

// ParseDelimiter parses the delimiter of csv columns: one ASCII character, \t, tab or space; a comma if s is empty.
func ParseDelimiter(s string) (byte, error) {
	if s != "\t" && s != " " {
		s = strings.TrimSpace(s)
	}
	switch s {
	case "":
		return ',', nil
	case `\t`, "tab":
		return '\t', nil
	case "space":
		return ' ', nil
	}
	if len(s) != 1 || s[0] >= 0x7f || s[0] < ' ' && s[0] != '\t' || s[0] == '"' {
		return 0, fmt.Errorf("%s is not one character: write \\t or tab, space, or a character of ASCII but the quote", quote(s))
	}
	return s[0], nil
}

// parseDuration accepts what time.ParseDuration does, a number of days (7d), and a bare number of seconds.
func parseDuration(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	unit := time.Second
	number, days := strings.CutSuffix(s, "d")
	if days {
		unit = 24 * time.Hour
	}
	d := time.Duration(0)
	if n, err := strconv.ParseFloat(number, 64); err == nil {
		if n *= float64(unit); n < math.MaxInt64 { // the conversion of anything else is undefined
			d = time.Duration(n)
		}
	} else if d, err = time.ParseDuration(s); err != nil {
		d = 0
	}
	if d <= 0 {
		return 0, fmt.Errorf("%s is not a duration above zero, like 500ms, 5s, 24h or 7d", quote(s))
	}
	return d, nil
}

// parseSize parses a number of bytes, optionally with a binary unit: 65536, 64k, 64KiB, 1MB.
func parseSize(s string) (int, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	text = strings.TrimSuffix(strings.TrimSuffix(text, "b"), "i")
	shift := 0
	for unit, bits := range map[string]int{"k": 10, "m": 20, "g": 30} {
		if number, ok := strings.CutSuffix(text, unit); ok {
			text, shift = strings.TrimSpace(number), bits
			break
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n > 1<<31>>shift {
		return 0, fmt.Errorf("%s is not a size of 1 byte to 2 GiB, like 65536, 64KiB or 1MiB", quote(s))
	}
	return int(n << shift), nil
}

func parseCount(s string) (int, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s is not a whole number above zero", quote(s))
	}
	return int(n), nil
}

// checkRuby validates the expression of a format, which has Ruby's syntax.
func checkRuby(expr string) error {
	if _, err := pattern.CompileRuby(expr, false); err != nil {
		return fmt.Errorf("%s is not an expression that can be used: %w", quote(expr), err)
	}
	return nil
}

// checkExpr validates a regular expression. Package pattern caches the compiled form for its later use.
func checkExpr(expr string) error {
	if _, err := pattern.Compile(expr); err != nil {
		return fmt.Errorf("%s is not a regular expression: %w", quote(expr), err)
	}
	return nil
}

// quote returns a value for a message: escaped, so that it stays on one line, and truncated after 120 bytes.
func quote(s string) string {
	const most = 120
	if len(s) <= most {
		return strconv.Quote(s)
	}
	n := most
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strconv.Quote(s[:n]) + "…"
}

// hasControl reports whether s contains a control character, including newline and NUL.
func hasControl(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0
}

// ParseSeparator parses a character of kv pairs. It is ParseDelimiter that also allows the quote.
func ParseSeparator(s string) (byte, error) {
	if strings.TrimSpace(s) == `"` {
		return '"', nil
	}
	return ParseDelimiter(s)
}
