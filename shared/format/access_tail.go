// SPDX-License-Identifier: Apache-2.0

package format

import "bytes"

// tailNames are the fields that servers are told to append to the combined format.
//
//	field                                            JSON
//	http_x_forwarded_for                             string
//	request_time, upstream_response_time,
//	upstream_connect_time, upstream_header_time      number of seconds; a list where several upstreams were asked
//	request_length, bytes_received, bytes_sent       number
//	proxy_upstream_name, upstream_addr, req_id, …    what ingress-nginx appends
//	extra                                            whatever else is there, as it stands
type tailNames struct {
	forwarded, extra, received, sent member
	times                            [4]member // by timeNames
	ingress                          [9]ingressName
}

// Indices of tailNames.times.
const (
	requestTime = iota
	responseTime
)

// timeNames are the fields of times, and the short names that nginx's own guides give them in rt=0.004 urt="0.004".
var timeNames = [4][2]string{
	{"request_time", "rt"}, {"upstream_response_time", "urt"}, {"upstream_connect_time", "uct"}, {"upstream_header_time", "uht"},
}

type ingressName struct {
	name   member
	number bool
}

func newTailNames(name func(key string) member) tailNames {
	n := tailNames{
		forwarded: name("http_x_forwarded_for"), extra: name("extra"), received: name("bytes_received"), sent: name("bytes_sent"),
		ingress: [9]ingressName{
			{name("request_length"), true}, {name("request_time"), true}, {name("proxy_upstream_name"), false},
			{name("proxy_alternative_upstream_name"), false}, {name("upstream_addr"), false},
			{name("upstream_response_length"), true}, {name("upstream_response_time"), true},
			{name("upstream_status"), true}, {name("req_id"), false},
		},
	}
	for i, names := range timeNames {
		n.times[i] = name(names[0])
	}
	return n
}

// token is a word of the tail: bare, "in quotes" or [in brackets]. A list (0.001, 0.002 : 0.003) is one bare token.
type token struct {
	kind  byte // ' ', '"' or '[', and ? for what is none of these
	text  []byte
	plain bool
	start int
}

// tail reads what follows the combined format. Which of the usual fields a token is, is told by what it looks like and by
// which ones came before; with the first that can't be told the rest of the line becomes the field extra.
func (f *access) tail(a, p []byte) []byte {
	names := &f.names.tail
	forwarded, seen := false, [len(timeNames)]bool{}
	for i := 0; ; {
		t, end := nextToken(p, i)
		if end < 0 {
			break
		}
		if i == 0 && isInteger(&t) {
			if out, ok := f.wholeTail(a, p); ok {
				return out
			}
		}
		if t.kind == '"' && !forwarded && isForwarded(t.text) {
			forwarded = true
			a = f.text(a, names.forwarded, t.text, t.plain)
		} else if which, value, ok := timeToken(&t, &seen); ok {
			seen[which] = true
			a = appendNumbers(a, names.times[which], value)
		} else {
			return names.extra.appendText(a, p[t.start:])
		}
		i = end
	}
	return a
}

// wholeTail reads those tails that have a form as a whole: Apache's combinedio and what ingress-nginx appends.
func (f *access) wholeTail(a, p []byte) ([]byte, bool) {
	var space [9]token
	tokens := space[:0]
	end := 0
	for len(tokens) < cap(tokens) {
		t, next := nextToken(p, end)
		if next < 0 {
			break
		}
		tokens, end = append(tokens, t), next
	}
	names := &f.names.tail
	switch {
	case len(bytes.TrimSpace(p[end:])) > 0:
		return a, false
	case isIngress(tokens):
		return f.ingress(a, tokens), true
	case len(tokens) == 2 && isInteger(&tokens[1]):
		a = names.received.appendNumber(a, tokens[0].text)
		return names.sent.appendNumber(a, tokens[1].text), true
	}
	return a, false
}

// nextToken reads the token behind i; end is where it ends, -1 if there is none. What can't be read as one is one to the
// end of p.
func nextToken(p []byte, i int) (t token, end int) {
	for i < len(p) && p[i] == ' ' {
		i++
	}
	if i == len(p) {
		return t, -1
	}
	switch p[i] {
	case '"':
		if inside, end, plain := quotes(p, i); end >= 0 {
			return token{'"', inside, plain, i}, end
		}
	case '[':
		if n := bytes.IndexByte(p[i:], ']'); n >= 0 {
			return token{'[', p[i+1 : i+n], true, i}, i + n + 1
		}
	default:
		end = bareEnd(p, i)
		return token{' ', p[i:end], true, i}, end
	}
	return token{'?', p[i:], true, i}, len(p)
}

// bareEnd is the end of the bare token that begins at i: a blank that is not part of a list, and not in a value's quotes.
func bareEnd(p []byte, i int) int {
	for ; i < len(p); i++ {
		switch {
		case p[i] == '"' && p[i-1] == '=':
			if end := closing(p, i+1); end > 0 {
				i = end
			}
		case p[i] == ' ' && p[i-1] != ',' && p[i-1] != ':' && !starts(p[i:], " : "):
			return i
		}
	}
	return i
}

// isIngress reports whether tokens are those of ingress-nginx: length, time, [upstream], [alternative], address, length,
// time, status, id.
func isIngress(tokens []token) bool {
	if len(tokens) != 9 && len(tokens) != 8 {
		return false
	}
	return isInteger(&tokens[0]) && isNumbers(tokens[1].text) && tokens[2].kind == '[' && tokens[len(tokens)-1].kind == ' '
}

// ingress appends the fields of tokens; older versions have no alternative upstream.
func (f *access) ingress(a []byte, tokens []token) []byte {
	names := f.names.tail.ingress[:]
	for i, t := range tokens {
		if len(tokens) == 8 && i > 2 {
			i++
		}
		n := names[i]
		switch {
		case string(t.text) == "-" || len(t.text) == 0:
		case n.number && isNumbers(t.text):
			a = appendNumbers(a, n.name, t.text)
		default:
			a = n.name.appendText(a, t.text)
		}
	}
	return a
}

// timeToken tells which time t is, one that was not seen yet: rt=0.004 and urt="0.004" say so themselves; of mere numbers,
// which nginx writes with their milliseconds, the first is the time of the request and the second that of the upstream. A
// whole number may be anything: Apache's %D is in microseconds. value is a number, a list or a dash.
func timeToken(t *token, seen *[len(timeNames)]bool) (which int, value []byte, ok bool) {
	if t.kind != ' ' && t.kind != '"' {
		return 0, nil, false
	}
	if isNumbers(t.text) {
		if seen[requestTime] {
			which = responseTime
		}
		return which, t.text, !seen[which] && (string(t.text) == "-" || bytes.IndexByte(t.text, '.') >= 0)
	}
	name, value, found := bytes.Cut(t.text, []byte("="))
	if t.kind != ' ' || !found {
		return 0, nil, false
	}
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		value = value[1 : n-1]
	}
	for which, names := range timeNames {
		if string(name) == names[0] || string(name) == names[1] {
			return which, value, !seen[which] && isNumbers(value)
		}
	}
	return 0, nil, false
}

func isInteger(t *token) bool {
	return t.kind == ' ' && len(t.text) > 0 && digits(t.text, 0) == len(t.text)
}

// isForwarded reports whether text can be X-Forwarded-For: addresses, what stands for hidden ones, or a dash for none. A
// number is none.
func isForwarded(text []byte) bool {
	if isNumbers(text) {
		return string(text) == "-"
	}
	for _, c := range text {
		if !inAddress[c] {
			return bytes.Contains(text, []byte("unknown"))
		}
	}
	return true
}

// inAddress has the characters of lists of addresses, with ports, zones and obfuscated identifiers (RFC 7239).
var inAddress = func() (set [256]bool) {
	for c := range set {
		set[c] = isHex(byte(c))
	}
	for _, c := range []byte(".:, []_%") {
		set[c] = true
	}
	return set
}()

// nextNumber takes the first element off a list of numbers as nginx writes the times of its upstreams: between servers
// stands a comma, between groups of servers a colon, and for one that was not asked a dash.
func nextNumber(p []byte) (number, rest []byte, ok bool) {
	end := digits(p, 0)
	switch {
	case end == 0 && len(p) > 0 && p[0] == '-':
		end = 1
	case end == 0:
		return nil, nil, false
	case end+1 < len(p) && p[end] == '.' && isDigit(p[end+1]):
		end = digits(p, end+1)
	}
	number, rest = p[:end], p[end:]
	switch {
	case len(rest) == 0:
		return number, nil, true
	case len(rest) > 2 && rest[0] == ',' && rest[1] == ' ':
		return number, rest[2:], true
	case len(rest) > 3 && rest[0] == ' ' && rest[1] == ':' && rest[2] == ' ':
		return number, rest[3:], true
	}
	return nil, nil, false
}

// isNumbers reports whether p is a number, or a list of them.
func isNumbers(p []byte) bool {
	for len(p) > 0 {
		_, rest, ok := nextNumber(p)
		if !ok {
			return false
		}
		if len(rest) == 0 {
			return true
		}
		p = rest
	}
	return false
}

// appendNumbers appends the member with a number, or a list of numbers without the dashes.
func appendNumbers(a []byte, name member, p []byte) []byte {
	number, rest, _ := nextNumber(p)
	if len(rest) == 0 {
		if string(number) == "-" {
			return a
		}
		return name.appendNumber(a, number)
	}
	if name == "" {
		return a
	}
	a = append(append(a, name...), '[')
	empty := true
	for len(p) > 0 {
		number, p, _ = nextNumber(p)
		if string(number) == "-" {
			continue
		}
		if !empty {
			a = append(a, ',')
		}
		a, empty = appendJSONNumber(a, number), false
	}
	return append(a, ']')
}
