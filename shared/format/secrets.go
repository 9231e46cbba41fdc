// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"fmt"
)

// finder finds the first secret of its kind that begins at or after i; ok is false if there is none. It also looks at what
// precedes i, so that a secret begins where it does in the whole text.
type finder func(text []byte, i int) (start, end int, ok bool)

// presetMask replaces what its finder finds.
type presetMask struct {
	find        finder
	replacement string
}

func newPreset(name, replacement string) (*presetMask, error) {
	find, ok := map[string]finder{
		"bearer": findBearer, "credit_card": findCard, "email": findEmail, "ipv4": findIPv4,
	}[name]
	if !ok {
		return nil, fmt.Errorf("mask: the preset %q is unknown", name)
	}
	if replacement == "" {
		replacement = "[" + name + "]"
	}
	return &presetMask{find, replacement}, nil
}

func (m *presetMask) apply(dst, text []byte, limit int) (_ []byte, found, cut bool) {
	done, limit := 0, len(dst)+limit
	for {
		start, end, ok := m.find(text, done)
		if !ok && done == 0 {
			return dst, false, false
		}
		if !ok {
			start = len(text)
		}
		if dst = append(dst, text[done:start]...); ok && len(dst) <= limit {
			dst = append(dst, m.replacement...)
		}
		if len(dst) > limit {
			return dst[:limit], true, true
		}
		if done = end; !ok {
			return dst, true, false
		}
	}
}

func isAlnum(c byte) bool {
	return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// isWordAt reports whether the byte at i belongs to a word. What touches a word is not a secret of its own.
func isWordAt(text []byte, i int) bool {
	return i >= 0 && i < len(text) && (isAlnum(text[i]) || text[i] == '_')
}

// findEmail finds local@host.tld, also with the @ escaped as in URLs, %40.
func findEmail(text []byte, i int) (start, end int, ok bool) {
	for at := i; at < len(text); at++ {
		width := 1
		switch text[at] {
		case '@':
		case '%':
			if width = 3; !bytes.HasPrefix(text[at:], []byte("%40")) {
				continue
			}
		default:
			continue
		}
		for start = at; start > i && at-start < maxLocal && isLocal[text[start-1]]; start-- {
		}
		if end = domainEnd(text, at+width); start < at && end > 0 {
			return start, end, true
		}
	}
	return 0, 0, false
}

// maxLocal bounds what precedes the @ to four times the limit of RFC 5321. In a line of nothing but %40 all of it could.
const maxLocal = 256

// isLocal holds the bytes that may precede the @: those in use that RFC 5321 allows there without quotes, and all outside ASCII.
var isLocal = func() (set [256]bool) {
	for c := range set {
		set[c] = c >= 0x80 || isAlnum(byte(c))
	}
	for _, c := range []byte(".!#$%&'*+-^_`{|}~") {
		set[c] = true
	}
	return set
}()

// domainEnd returns the end of the domain that begins at i; 0 if it has fewer than two labels.
func domainEnd(text []byte, i int) int {
	end, label, dots := 0, 0, 0
	for ; i < len(text); i++ {
		switch c := text[i]; {
		case isAlnum(c) || c >= 0x80 || c == '-' && label > 0:
			if label++; dots > 0 {
				end = i + 1
			}
			continue
		case c == '.' && label > 0:
			label = 0
			dots++
			continue
		}
		break
	}
	return end
}

// findIPv4 finds four numbers up to 255, separated by points, that are not part of something longer.
func findIPv4(text []byte, i int) (start, end int, ok bool) {
	for ; i < len(text); i++ {
		if !isDigit(text[i]) || isWordAt(text, i-1) || i > 1 && text[i-1] == '.' && isWordAt(text, i-2) {
			continue
		}
		if end = ipv4End(text, i); end > 0 {
			return i, end, true
		}
	}
	return 0, 0, false
}

func ipv4End(text []byte, i int) int {
	for part := 1; ; part++ {
		v, start := 0, i
		for i < len(text) && i-start < 3 && isDigit(text[i]) {
			v = v*10 + int(text[i]-'0')
			i++
		}
		if i == start || v > 255 {
			return 0
		}
		if part == 4 {
			if isWordAt(text, i) || i < len(text) && text[i] == '.' && isWordAt(text, i+1) {
				return 0
			}
			return i
		}
		if i == len(text) || text[i] != '.' {
			return 0
		}
		i++
	}
}

// findCard finds the number of a payment card: 13 to 19 digits, with a blank or a dash between groups of them, that begin like
// an issuer's and satisfy Luhn's check (ISO/IEC 7812).
func findCard(text []byte, i int) (start, end int, ok bool) {
	for ; i < len(text); i++ {
		if c := text[i]; c < '2' || c > '6' || isWordAt(text, i-1) {
			continue
		}
		if end = cardEnd(text, i); end > 0 {
			return i, end, true
		}
	}
	return 0, 0, false
}

// cardEnd returns the end of the longest card number that begins at i; 0 if there is none.
func cardEnd(text []byte, i int) (end int) {
	var number [19]byte
	n := 0
	for ; i < len(text) && n < len(number); i++ {
		c := text[i]
		if (c == ' ' || c == '-') && i+1 < len(text) && isDigit(text[i+1]) {
			continue
		}
		if !isDigit(c) {
			break
		}
		number[n] = c - '0'
		n++
		if n >= 13 && !isWordAt(text, i+1) && isIssued(number[:n]) && luhn(number[:n]) {
			end = i + 1
		}
	}
	return end
}

// isIssued reports whether n has the length and beginning of a card in use. It excludes timestamps of 13 digits, which begin
// with 1, and most order numbers that happen to satisfy Luhn's check.
func isIssued(n []byte) bool {
	switch first := n[0]*10 + n[1]; {
	case n[0] == 4: // Visa
		return len(n) == 13 || len(n) == 16 || len(n) == 19
	case first >= 51 && first <= 55, first >= 22 && first <= 27: // Mastercard
		return len(n) == 16
	case first == 34 || first == 37: // American Express
		return len(n) == 15
	case first == 30 || first == 36 || first == 38 || first == 39: // Diners Club
		return len(n) >= 14
	case first == 35: // JCB
		return len(n) >= 16
	}
	return n[0] >= 5 && len(n) >= 13 // Maestro, Discover, UnionPay and others
}

func luhn(number []byte) bool {
	sum := 0
	for i, d := range number {
		v := int(d)
		if (len(number)-i)%2 == 0 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return sum%10 == 0
}

// findBearer finds the token after the word Bearer (RFC 6750), and JSON Web Tokens anywhere.
func findBearer(text []byte, i int) (start, end int, ok bool) {
	none := i // no JSON Web Token begins before it
	for ; i < len(text); i++ {
		switch {
		case isWordAt(text, i-1):
		case text[i]|0x20 == 'b' && len(text)-i > 7 && bytes.EqualFold(text[i:i+6], []byte("bearer")):
			for start = i + 6; start < len(text) && isSeparator(text, start); start++ {
			}
			if end = tokenEnd(text, start); start > i+6 && end > start {
				return start, end, true
			}
		case text[i] == 'e' && i >= none && bytes.HasPrefix(text[i:], []byte("eyJ")):
			if end = tokenEnd(text, i); bytes.Count(text[i:end], []byte(".")) >= 2 {
				return i, end, true
			}
			none = end
		}
	}
	return 0, 0, false
}

// isSeparator reports whether the byte at i can separate Bearer and the token: a blank, also one escaped as in URLs.
func isSeparator(text []byte, i int) bool {
	switch text[i] {
	case ' ', '\t', '+':
		return true
	case '%':
		return bytes.HasPrefix(text[i:], []byte("%20"))
	case '2':
		return text[i-1] == '%'
	case '0':
		return text[i-1] == '2' && text[i-2] == '%'
	}
	return false
}

// tokenEnd returns the end of the token68 (RFC 7235) that begins at i.
func tokenEnd(text []byte, i int) int {
	for i < len(text) && (isAlnum(text[i]) || bytes.IndexByte([]byte("-._~+/="), text[i]) >= 0) {
		i++
	}
	return i
}
