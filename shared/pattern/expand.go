// SPDX-License-Identifier: Apache-2.0

package pattern

// expand appends template to dst, its groups replaced by what they matched: loc holds byte offsets into line by group
// number, as an engine found them. It stops once dst is longer than end, which a template of many groups may be many
// times over.
func expand(dst, line []byte, template string, loc []int, e engine, end int) []byte {
	for i := 0; i < len(template) && len(dst) <= end; {
		c := template[i]
		i++
		if c != '$' || i == len(template) {
			dst = append(dst, c)
			continue
		}
		if template[i] == '$' {
			dst = append(dst, '$')
			i++
			continue
		}
		name, width := groupName(template[i:])
		if width == 0 {
			dst = append(dst, '$') // a dollar sign that introduces nothing stands for itself
			continue
		}
		i += width
		if n := e.number(name); n >= 0 && loc[2*n] >= 0 {
			group := line[loc[2*n]:loc[2*n+1]]
			dst = append(dst, group[:min(len(group), end+1-len(dst))]...)
		}
	}
	return dst
}

// groupName reads a group's name or number at the beginning of s, in braces or without, and returns how many bytes it
// takes up: 0 where there is none.
func groupName(s string) (string, int) {
	brace := 0
	if s[0] == '{' {
		brace = 1
	}
	n := brace
	for n < len(s) && isWord(s[n]) {
		n++
	}
	if n == brace || brace == 1 && (n == len(s) || s[n] != '}') {
		return "", 0
	}
	return s[brace:n], n + brace
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
