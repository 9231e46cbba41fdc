// SPDX-License-Identifier: Apache-2.0

package format

import (
	"unicode/utf8"

	"github.com/remora-logs/remora/shared/record"
)

// appendUnquoted appends what a server escaped: \xHH (nginx, Apache), \" \\ and the letters of C (Apache), \uHHHH (nginx
// with escape=json). If that is not text (bytes of a TLS handshake on a plain port, say), s is appended as it is, because
// what its escapes say would be lost in JSON.
func appendUnquoted(dst, s []byte) []byte {
	n := len(dst)
	for i := 0; i < len(s); {
		if s[i] != '\\' || i+1 == len(s) {
			dst = append(dst, s[i])
			i++
			continue
		}
		switch c := s[i+1]; {
		case c == 'x' && i+3 < len(s) && isHex(s[i+2]) && isHex(s[i+3]):
			dst = append(dst, unhex(s[i+2])<<4|unhex(s[i+3]))
			i += 4
		case c == 'v':
			dst = append(dst, '\v')
			i += 2
		case c == 'u' && isEscape(s[i:]):
			end := i + 6
			if isHigh := s[i+2]|0x20 == 'd' && unhex(s[i+3])&0xc == 8; isHigh && isEscape(s[end:]) {
				end += 6 // the other half of a surrogate pair
			}
			dst = record.AppendUnescaped(dst, s[i:end])
			i = end
		case c == 'x' || c == 'u':
			dst = append(dst, '\\', c)
			i += 2
		default:
			dst = record.AppendUnescaped(dst, s[i:i+2])
			i += 2
		}
	}
	if !utf8.Valid(dst[n:]) {
		return append(dst[:n], s...)
	}
	return dst
}

// isEscape reports whether s begins with \uHHHH.
func isEscape(s []byte) bool {
	return len(s) >= 6 && s[0] == '\\' && s[1] == 'u' && isHex(s[2]) && isHex(s[3]) && isHex(s[4]) && isHex(s[5])
}

func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
