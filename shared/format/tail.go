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
	kind  byte // ' ', '"' or '['
	text  []byte
	plain bool
	start int
}

// tail reads what follows the combined format. Which of the usual fields a token is, is told by what it looks like and by
// which ones came before; with the first that can't be told the rest of the line becomes the field extra.
func (f *access) tail(a, p []byte) []byte {
	var space [16]token
	tokens, end := tokens(space[:0], p)
	names := &f.names.tail
	if isIngress(tokens) && end == len(p) {
		return f.ingress(a, tokens)
	}
	if len(tokens) == 2 && isInteger(tokens[0]) && isInteger(tokens[1]) { // Apache's combinedio
		a = names.received.appendNumber(a, tokens[0].text)
		return names.sent.appendNumber(a, tokens[1].text)
	}
	forwarded, seen := false, [len(timeNames)]bool{}
	for _, t := range tokens {
		which, value, isTime := timeToken(t, &seen)
		switch absent := string(t.text) == "-"; {
		case t.kind == '"' && !forwarded && (absent || isForwarded(t.text)):
			forwarded = true
			a = f.text(a, names.forwarded, t.text, t.plain)
		case isTime:
			seen[which] = true
			a = appendNumbers(a, names.times[which], value)
		default:
			return names.extra.appendText(a, p[t.start:])
		}
	}
	if rest := bytes.TrimSpace(p[end:]); len(rest) > 0 {
		a = names.extra.appendText(a, rest)
	}
	return a
}

// tokens appends the tokens of p to list, up to its capacity, and returns where the last one ends.
func tokens(list []token, p []byte) ([]token, int) {
	i := 0
	for len(list) < cap(list) {
		start := i
		for start < len(p) && p[start] == ' ' {
			start++
		}
		if start == len(p) {
			return list, start
		}
		t := token{kind: ' ', start: start, plain: true}
		var end int
		switch p[start] {
		case '"':
			t.kind = '"'
			if t.text, end, t.plain = quotes(p, start); end < 0 {
				return list, i
			}
		case '[':
			t.kind = '['
			n := bytes.IndexByte(p[start:], ']')
			if n < 0 {
				return list, i
			}
			t.text, end = p[start+1:start+n], start+n+1
		default:
			end = bareEnd(p, start)
			t.text = p[start:end]
		}
		list, i = append(list, t), end
	}
	return list, i
}

// bareEnd is the end of the bare token that begins at i: a blank that is not part of a list, and not in a value's quotes.
func bareEnd(p []byte, i int) int {
	for ; i < len(p); i++ {
		switch {
		case p[i] == '"' && p[i-1] == '=':
			if end := closing(p, i+1); end > 0 {
				i = end
			}
		case p[i] == ' ' && p[i-1] != ',' && p[i-1] != ':' && !bytes.HasPrefix(p[i:], []byte(" : ")):
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
	return isInteger(tokens[0]) && isNumbers(tokens[1].text) && tokens[2].kind == '[' && tokens[len(tokens)-1].kind == ' '
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
func timeToken(t token, seen *[len(timeNames)]bool) (which int, value []byte, ok bool) {
	if t.kind == '[' {
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

func isInteger(t token) bool {
	return t.kind == ' ' && len(t.text) > 0 && digits(t.text, 0) == len(t.text)
}

// isForwarded reports whether text can be X-Forwarded-For: addresses, or what stands for hidden ones. A number is none.
func isForwarded(text []byte) bool {
	if isNumbers(text) {
		return false
	}
	for _, c := range text {
		if !isHex(c) && c != '.' && c != ':' && c != ',' && c != ' ' && c != '[' && c != ']' && c != '_' && c != '%' {
			return bytes.Contains(text, []byte("unknown"))
		}
	}
	return true
}

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
	case bytes.HasPrefix(rest, []byte(" : ")):
		return number, rest[3:], len(rest) > 3
	case bytes.HasPrefix(rest, []byte(", ")):
		return number, rest[2:], len(rest) > 2
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
