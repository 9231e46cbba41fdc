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
		case c == 'u' && i+5 < len(s):
			end := i + 6
			if i+11 < len(s) && s[i+6] == '\\' && s[i+7] == 'u' {
				end = i + 12 // maybe the other half of a pair
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

func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
