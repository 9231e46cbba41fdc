// SPDX-License-Identifier: Apache-2.0

package format

import "bytes"

// tailNames are the fields that servers are commonly configured to append to the combined format.
//
//	field                                            JSON
//	http_x_forwarded_for                             string
//	request_time, upstream_response_time,
//	upstream_connect_time, upstream_header_time      number of seconds; a list if there were several upstreams
//	request_length, bytes_received, bytes_sent       number
//	proxy_upstream_name, upstream_addr, req_id, …    appended by ingress-nginx
//
// In a list, null stands for an upstream without a number, so that the list corresponds to the list of addresses.
type tailNames struct {
	forwarded, received, sent member
	times                     [4]member // by timeNames
	ingress                   [9]ingressName
}

// Indices of tailNames.times.
const (
	requestTime = iota
	responseTime
)

// timeNames are the fields of times, and their short names in nginx's own guides, as in rt=0.004 urt="0.004".
var timeNames = [4][2]string{
	{"request_time", "rt"}, {"upstream_response_time", "urt"}, {"upstream_connect_time", "uct"}, {"upstream_header_time", "uht"},
}

type ingressName struct {
	name   member
	number bool
}

func newTailNames(name func(key string) member) tailNames {
	n := tailNames{
		forwarded: name("http_x_forwarded_for"), received: name("bytes_received"), sent: name("bytes_sent"),
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
	kind  byte // ' ', '"' or '['; '?' for none of these; '=' for a named time
	text  []byte
	plain bool
	start int
}

// tail parses what follows the combined format in p from i on. It recognises tokens by an unmistakable form and by their
// order: forwarders come first, then a time of the request, then one of the upstream. From the first token that is not
// recognised, the rest of the line is unknown.
func (f *access) tail(a, p []byte, i, request int) []byte {
	names := &f.names.tail
	seen := [len(timeNames)]bool{}
	var took []byte         // the time of the request, if recognised by its form
	before, at := len(a), i // the length of a before it, and its position in p
	for first := true; ; first = false {
		t, end := nextToken(p, i)
		if end < 0 {
			return a
		}
		if first {
			if out, ok := f.wholeTail(a, p, i, request); ok {
				return out
			}
		}
		which, value, known := timeToken(&t, &seen)
		switch {
		case first && t.kind == '"' && string(t.text) == "-":
		case first && t.kind == '"' && isForwarded(t.text):
			a = names.forwarded.appendText(a, t.text)
		case known && which == responseTime && took != nil && !within(value, took):
			// An upstream can't take longer than the request: these two are something else, so undo the first.
			f.unknown(p[at:])
			return a[:before]
		case known:
			seen[which] = true
			if which == requestTime && t.kind != '=' {
				took, before, at = value, len(a), t.start
			}
			a = appendNumbers(a, names.times[which], value)
		default:
			f.unknown(p[t.start:])
			return a
		}
		i = end
	}
}

// wholeTail parses tails that are recognised as a whole: Apache's combinedio and ingress-nginx's.
func (f *access) wholeTail(a, p []byte, from, request int) ([]byte, bool) {
	var space [9]token
	tokens := space[:0]
	end := from
	for len(tokens) < cap(tokens) {
		t, next := nextToken(p, end)
		if next < 0 {
			break
		}
		if len(tokens) == 0 && !isInteger(&t) {
			return a, false
		}
		tokens, end = append(tokens, t), next
	}
	names := &f.names.tail
	switch {
	case len(bytes.TrimSpace(p[end:])) > 0:
		return a, false
	case isIngress(tokens):
		return f.ingress(a, tokens), true
	case len(tokens) == 2 && f.isInOut(&tokens[0], &tokens[1], request):
		a = names.received.appendNumber(a, tokens[0].text)
		return names.sent.appendNumber(a, tokens[1].text), true
	}
	return a, false
}

// isInOut reports whether two numbers are %I %O: a request has at least its line, two line ends and the protocol, and a response
// at least the body. %T %D of a slow request, 1 1051234, is excluded: there the first number is the second's whole millions.
func (f *access) isInOut(in, out *token, request int) bool {
	if !isInteger(in) || !isInteger(out) {
		return false
	}
	received, ok1 := integer(in.text)
	sent, ok2 := integer(out.text)
	body, _ := integer(f.size)
	return ok1 && ok2 && received >= int64(request)+4 && sent >= body && sent/1e6 != received
}

// integer returns the value of digits; ok is false beyond 10^18.
func integer(p []byte) (v int64, ok bool) {
	if len(p) > 18 {
		return 0, false
	}
	for _, c := range p {
		v = v*10 + int64(c-'0')
	}
	return v, true
}

// nextToken returns the token after i and its end, which is -1 if there is none. A token that can't be parsed extends to the
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
		return token{'?', p[i:], true, i}, len(p)
	case '[':
		n := bytes.IndexByte(p[i:], ']')
		if n >= 0 && (i+n+1 == len(p) || p[i+n+1] == ' ') {
			return token{'[', p[i+1 : i+n], true, i}, i + n + 1
		}
	}
	end = bareEnd(p, i)
	return token{' ', p[i:end], true, i}, end
}

// bareEnd returns the end of the bare token that begins at i: a blank that is neither part of a list nor within a value's quotes.
func bareEnd(p []byte, i int) int {
	for start := i; i < len(p); i++ {
		switch {
		case p[i] == '"' && i > start && p[i-1] == '=':
			if end := closing(p, i+1); end > 0 {
				i = end
			}
		case p[i] == ' ' && (i == start || p[i-1] != ',' && p[i-1] != ':') && !starts(p[i:], " : "):
			return i
		}
	}
	return i
}

// isIngress reports whether tokens are those of ingress-nginx: length, time, [upstream], [alternative], address, length, time,
// status, id.
func isIngress(tokens []token) bool {
	n := len(tokens)
	if n != 9 && n != 8 {
		return false
	}
	return isInteger(&tokens[0]) && isNumbers(tokens[1].text) && tokens[2].kind == '[' && (n == 8 || tokens[3].kind == '[') &&
		isNumbers(tokens[n-4].text) && isNumbers(tokens[n-3].text) && isNumbers(tokens[n-2].text) && tokens[n-1].kind == ' '
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

// timeToken reports which time t is, if it was not seen yet. rt=0.004 and urt="0.004" are named; of bare numbers, which nginx
// writes with milliseconds, the first is the time of the request and the second that of the upstream. value is a number, a
// list or a dash. A named t gets the kind =.
func timeToken(t *token, seen *[len(timeNames)]bool) (which int, value []byte, ok bool) {
	if t.kind != ' ' && t.kind != '"' {
		return 0, nil, false
	}
	if seen[requestTime] {
		which = responseTime
	}
	if !seen[which] && (which == requestTime && isSeconds(t.text) || which == responseTime && isSecondsList(t.text)) {
		return which, t.text, true
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
			t.kind = '='
			return which, value, !seen[which] && isNumbers(value)
		}
	}
	return 0, nil, false
}

// isSeconds reports whether p is a time as nginx prints it: with exactly three decimals, and below 10^6, because a Unix time
// has ten digits before the point.
func isSeconds(p []byte) bool {
	n := len(p)
	return n >= 5 && n <= 10 && p[n-4] == '.' && digits(p, 0) == n-4 && digits(p, n-3) == n
}

// isSecondsList reports whether p is a list of such times, which may hold dashes, or a single dash.
func isSecondsList(p []byte) bool {
	for len(p) > 0 {
		number, rest, ok := nextNumber(p)
		if !ok || string(number) != "-" && !isSeconds(number) {
			return false
		}
		if len(rest) == 0 {
			return true
		}
		p = rest
	}
	return false
}

// within reports whether no time in list is longer than took, allowing for rounding.
func within(list, took []byte) bool {
	limit := millis(took) + 1
	for len(list) > 0 {
		number, rest, _ := nextNumber(list)
		if string(number) != "-" && millis(number) > limit {
			return false
		}
		list = rest
	}
	return true
}

// millis returns a time with three decimals in milliseconds.
func millis(p []byte) (v int64) {
	for _, c := range p {
		if c != '.' {
			v = v*10 + int64(c-'0')
		}
	}
	return v
}

func isInteger(t *token) bool {
	return t.kind == ' ' && len(t.text) > 0 && digits(t.text, 0) == len(t.text)
}

// nextNumber splits the first element off a list of numbers in the form of nginx's upstream times: a comma separates servers,
// a colon groups of servers, and a dash stands for one that was not asked.
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

// appendNumbers appends the member with a number or a list of numbers.
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
	for first := true; len(p) > 0; first = false {
		if number, p, _ = nextNumber(p); !first {
			a = append(a, ',')
		}
		if string(number) == "-" {
			a = append(a, "null"...)
		} else {
			a = appendJSONNumber(a, number)
		}
	}
	return append(a, ']')
}
