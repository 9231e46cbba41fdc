// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"slices"

	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/timefmt"
)

// access parses lines of access logs as nginx and Apache write them. Both use the same formats, and either can be configured
// to add what the other adds:
//
//	common     addr ident user [time] "request" status bytes
//	combined   … "referer" "agent"
//	before     a virtual host or a list of forwarders precedes either of them: see head
//	appended   follows combined: see tail
//	ssl        [time] addr protocol cipher "request" bytes (Apache's ssl_request_log)
//
// Fields have the names of nginx's variables. A value logged as - is absent.
//
//	field                  what                                        JSON
//	vhost                  the server, with its port if logged         string
//	remote_addr            the peer                                    string
//	remote_ident           by RFC 1413                                 string
//	remote_user            by basic authentication                     string
//	method, path, protocol the request; the path with its query        string
//	request                the request, if it can't be parsed          string
//	status                                                             number
//	body_bytes_sent                                                    number
//	http_referer                                                       string
//	http_user_agent                                                    string
//	ssl_protocol, ssl_cipher  of ssl_request_log                       string
//	extra                  unidentified columns, unchanged             string
//
// The time becomes the record's. A column becomes a field only if there is no doubt which it is: everything else goes to
// extra, because a wrong value is worse than none. Bytes stay as the server escaped them, except \" and \\.
type access struct {
	time    commonTime
	iso     *timefmt.Parser
	names   accessNames
	bare    bool // only the protocol's version is wanted
	scratch []byte

	// Of the current line: the unidentified columns, and the size of the body.
	extra []byte
	size  []byte // in digits; empty if it is a dash
	marks marks
	clean bool // nothing in the line has to be escaped
}

type accessNames struct {
	vhost, addr, ident, user, method, path, protocol, request, status, size, referer, agent, sslProtocol, sslCipher, extra member
	// The ports of server and client, if the schema has members for them; if empty, the ports stay with the names.
	vhostPort, addrPort member
	tail                tailNames
}

func newAccessOf(n *names) (*access, error) {
	f, err := newAccess(n.field)
	if err == nil {
		f.bare = n.schema.bare
		if _, ok := n.schema.fields["vhost_port"]; ok {
			f.names.vhostPort, f.names.addrPort = n.field("vhost_port"), n.field("remote_port")
		}
	}
	return f, err
}

func newAccess(name func(key string) member) (*access, error) {
	clf, err := newCommonTime()
	if err != nil {
		return nil, err
	}
	iso, err := timefmt.New("rfc3339", "")
	return &access{time: clf, iso: iso, names: accessNames{
		vhost: name("vhost"), addr: name("remote_addr"), ident: name("remote_ident"), user: name("remote_user"),
		method: name("method"), path: name("path"), protocol: name("protocol"), request: name("request"),
		status: name("status"), size: name("body_bytes_sent"), referer: name("http_referer"), agent: name("http_user_agent"),
		sslProtocol: name("ssl_protocol"), sslCipher: name("ssl_cipher"), extra: name("extra"),
		tail: newTailNames(name),
	}}, err
}

// parse implements parser.
func (f *access) parse(b *record.Batch, r *record.Record) problem {
	if wide && f.usual(b, r) {
		return problem{}
	}
	return f.parseAny(b, r)
}

// parseAny parses any line, a column at a time.
func (f *access) parseAny(b *record.Batch, r *record.Record) problem {
	p := r.Line
	if len(p) > 0 && p[0] == '[' {
		if addr, _, _ := bytes.Cut(p, blank); !isAddress(addr) { // as [::1]:443 is
			return f.parseSSL(b, r)
		}
	}
	open, end := f.findTime(p)
	if open < 0 {
		return unparsed("no time in brackets was found", 0)
	}
	ns, ok := f.parseTime(p[open+1:end], r.Time)
	if !ok {
		return unparsed("the time was not understood", open)
	}
	b.Arena = slices.Grow(b.Arena, 2*len(p)+256)
	at, a := len(b.Arena), b.Arena
	f.extra = f.extra[:0]
	if a, ok = f.head(a, p[:open-1]); !ok {
		return unparsed("address, identity and user were expected", 0)
	}
	request, i, plain := quotes(p, end+2)
	if i < 0 {
		return unparsed("no request in quotes was found", end+1)
	}
	a = f.request(a, request, plain)
	if a, i, ok = f.numbers(a, p, i); ok {
		a, i = f.refererAndAgent(a, p, i)
	}
	if i < len(p) {
		a = f.tail(a, p, i, len(request))
	}
	r.Time = ns
	a = f.rest(a)
	finish(b, r, a, at)
	return problem{}
}

// rest appends the unidentified columns and ends the line.
func (f *access) rest(a []byte) []byte {
	if len(f.extra) > 0 {
		a = f.names.extra.appendText(a, f.extra)
	}
	f.scratch, f.extra = trimmed(f.scratch), trimmed(f.extra)
	return a
}

// unknown adds columns to extra.
func (f *access) unknown(p []byte) {
	if p = bytes.Trim(p, " "); len(p) == 0 {
		return
	}
	if len(f.extra) > 0 {
		f.extra = append(f.extra, ' ')
	}
	f.extra = append(f.extra, p...)
}

// maxTime bounds a time in brackets, in bytes. It bounds the search for the closing bracket, so that a line of opening ones
// costs no more than others.
const maxTime = 64

// findTime finds the brackets around the time. A user's name may hold a bracket, so only brackets that the request follows count.
func (f *access) findTime(p []byte) (open, end int) {
	for open = 0; ; open++ {
		n := bytes.IndexByte(p[open:], '[')
		if n < 0 {
			return -1, 0
		}
		open += n
		end = open + len("[10/Oct/2000:13:55:36 -0700")
		if end >= len(p) || p[end] != ']' {
			n := bytes.IndexByte(p[open:min(len(p), open+maxTime)], ']')
			if n < 0 {
				continue
			}
			end = open + n
		}
		if open > 0 && p[open-1] == ' ' && len(p)-end > 2 && p[end+1] == ' ' && p[end+2] == '"' {
			return open, end
		}
	}
}

func (f *access) parseTime(text []byte, ref int64) (int64, bool) {
	if len(text) > 4 && text[4] == '-' {
		return f.iso.Parse(text, ref)
	}
	return f.time.Parse(text, ref)
}

// parseSSL parses a line of Apache's ssl_request_log.
func (f *access) parseSSL(b *record.Batch, r *record.Record) problem {
	text, rest, ok := bracketed(r.Line)
	if !ok {
		return unparsed("no time in brackets was found", 0)
	}
	ns, ok := f.parseTime(text, r.Time)
	if !ok {
		return unparsed("the time was not understood", 1)
	}
	quote := bytes.Index(rest, []byte(` "`))
	if quote < 0 {
		return unparsed("no request in quotes was found", len(text)+2)
	}
	columns := rest[:quote]
	request, i, plain := quotes(rest, quote+1)
	if i < 0 {
		return unparsed("no request in quotes was found", len(text)+2)
	}
	at, a := len(b.Arena), b.Arena
	f.extra = f.extra[:0]
	addr, columns, _ := bytes.Cut(columns, blank)
	protocol, cipher, three := bytes.Cut(columns, blank)
	if three && bytes.IndexByte(cipher, ' ') < 0 && (isAddress(addr) || isHost(addr)) && isTLS(protocol) {
		a = f.names.addr.appendAddress(a, addr, f.names.addrPort)
		a = f.text(a, f.names.sslProtocol, protocol, true)
		a = f.text(a, f.names.sslCipher, cipher, true)
	} else {
		f.unknown(rest[:quote])
	}
	a = f.request(a, request, plain)
	end := i + 1
	if end < len(rest) {
		end = digits(rest, end)
	}
	switch {
	case end > i+1 && end == len(rest):
		a = f.names.size.appendNumber(a, rest[i+1:end])
	case i < len(rest) && string(rest[i:]) != " -":
		f.unknown(rest[i:])
	}
	r.Time = ns
	a = f.rest(a)
	finish(b, r, a, at)
	return problem{}
}

// isTLS reports whether p is a server's name for a version of TLS, or the dash of a connection without.
func isTLS(p []byte) bool { return starts(p, "TLSv", "SSLv", "DTLSv") || string(p) == "-" }

// numbers parses status and bytes, each after a blank. If ok is not set, they are not there and end is i; otherwise end is
// behind them.
func (f *access) numbers(a, p []byte, i int) (_ []byte, end int, ok bool) {
	start, before := i, a
	f.size = nil
	for _, name := range [...]member{f.names.status, f.names.size} {
		if i == len(p) {
			break // bytes are optional
		}
		if i+1 >= len(p) || p[i] != ' ' {
			return before, start, false
		}
		i++
		end := digits(p, i)
		switch {
		case end > i:
			a = name.appendNumber(a, p[i:end])
			f.size = p[i:end] // in the end, that of the second
		case p[i] == '-':
			end++
			f.size = nil
		default:
			return before, start, false
		}
		if end < len(p) && p[end] != ' ' || i == start+1 && end-i != 3 && p[i] != '-' { // a status has three digits
			return before, start, false
		}
		i = end
	}
	return a, i, true
}

// refererAndAgent parses both if they are there, in quotes or as bare dashes. A single one could be either.
func (f *access) refererAndAgent(a, p []byte, i int) (_ []byte, end int) {
	if i == len(p) {
		return a, i
	}
	referer, second, plainReferer := column(p, i)
	if second < 0 {
		return a, i
	}
	agent, end, plainAgent := column(p, second)
	if end < 0 {
		if second == len(p) && string(referer) == "-" {
			return a, second
		}
		return a, i
	}
	a = f.text(a, f.names.referer, referer, plainReferer)
	return f.text(a, f.names.agent, agent, plainAgent), end
}

// column parses a blank and then a string in quotes or a dash, from i on; end is -1 if they are not there.
func column(p []byte, i int) (inside []byte, end int, plain bool) {
	if i+1 < len(p) && p[i] == ' ' && p[i+1] == '-' && (i+2 == len(p) || p[i+2] == ' ') {
		return p[i+1 : i+2], i + 2, true
	}
	if i >= len(p) || p[i] != ' ' {
		return nil, -1, false
	}
	return quotes(p, i+1)
}

// request parses the request. Anything but a request line stays whole, because servers log whatever was sent to them. Any
// token is a method (RFC 9110); without a protocol only one in capitals is, because HTTP/0.9 had no others.
func (f *access) request(a, inside []byte, plain bool) []byte {
	n, capitals := 0, true
	for n < len(inside) && isToken[inside[n]] {
		capitals = capitals && (inside[n] >= 'A' && inside[n] <= 'Z' || inside[n] == '-' || inside[n] == '_')
		n++
	}
	if n == 0 || n == len(inside) || inside[n] != ' ' {
		return f.text(a, f.names.request, inside, plain)
	}
	path, protocol := inside[n+1:], []byte(nil)
	if last := bytes.LastIndexByte(path, ' '); last >= 0 {
		path, protocol = path[:last], path[last+1:]
	}
	if protocol == nil && !capitals || protocol != nil && !starts(protocol, "HTTP/") {
		return f.text(a, f.names.request, inside, plain)
	}
	a = f.append(a, f.names.method, inside[:n])
	a = f.text(a, f.names.path, path, plain)
	if protocol != nil {
		if f.bare {
			protocol = protocol[len("HTTP/"):]
		}
		a = f.text(a, f.names.protocol, protocol, plain)
	}
	return a
}

// isToken holds the characters of a token (RFC 9110, 5.6.2).
var isToken = func() (set [256]bool) {
	for c := range set {
		set[c] = isAlnum(byte(c))
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		set[c] = true
	}
	return set
}()

// text appends a value that was in quotes, unless it is empty or a dash.
func (f *access) text(a []byte, name member, inside []byte, plain bool) []byte {
	if len(inside) == 0 || string(inside) == "-" {
		return a
	}
	if !plain {
		f.scratch = appendUnquoted(f.scratch[:0], inside)
		inside = f.scratch
	}
	return f.append(a, name, inside)
}

// append appends the member with text as its value.
func (f *access) append(a []byte, name member, text []byte) []byte {
	if f.clean {
		return name.appendClean(a, text)
	}
	return name.appendText(a, text)
}

// appendUnquoted appends a text from quotes without the backslashes that servers put before quotes and backslashes. Other
// escapes stay: \x16 may be a byte that is not text, and C:\path is not an escape at all.
func appendUnquoted(dst, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\') {
			i++
		}
		dst = append(dst, s[i])
	}
	return dst
}

// quotes finds the string in quotes that begins at i: its inside, and the index behind it, which is the end of p or a blank;
// -1 if there is none. plain reports that it holds no backslash.
func quotes(p []byte, i int) (inside []byte, end int, plain bool) {
	if i >= len(p) || p[i] != '"' {
		return nil, -1, false
	}
	start := i + 1
	n := bytes.IndexByte(p[start:], '"')
	if n < 0 {
		return nil, -1, false
	}
	end = start + n
	if plain = bytes.IndexByte(p[start:end], '\\') < 0; !plain {
		end = closing(p, start)
	}
	if end < 0 || end+1 < len(p) && p[end+1] != ' ' {
		return nil, -1, false
	}
	return p[start:end], end + 1, plain
}

// closing returns the index of the first unescaped quote at or after i; -1 if there is none.
func closing(p []byte, i int) int {
	for ; i < len(p); i++ {
		switch p[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}
