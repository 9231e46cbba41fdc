// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"slices"

	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/timefmt"
)

// access takes lines of access logs apart, as nginx and Apache write them. Both write the same, and what one of them adds
// to it the other may be told to add:
//
//	common     addr ident user [time] "request" status bytes
//	combined   … "referer" "agent"
//	vhost      host:port before either of them (Apache's vhost_combined)
//	appended   behind combined: see tail
//
// Fields have the names of nginx's variables. What is written as - is absent.
//
//	field                  what                                        JSON
//	vhost                  host:port of the server, where logged       string
//	remote_addr            the peer                                    string
//	remote_ident           by RFC 1413                                 string
//	remote_user            by basic authentication                     string
//	method, path, protocol the request; the path with its query        string
//	request                the request, if it can't be taken apart     string
//	status                                                             number
//	body_bytes_sent                                                    number
//	http_referer                                                       string
//	http_user_agent                                                    string
//
// The time becomes the record's. \xHH and the other escapes that servers write within quotes are resolved, unless that
// makes something that is not text: then they stay as they are.
type access struct {
	time, iso *timefmt.Parser
	names     accessNames
	scratch   []byte
}

type accessNames struct {
	vhost, addr, ident, user, method, path, protocol, request, status, size, referer, agent member
	tail                                                                                    tailNames
}

func newAccess(n *names) (*access, error) {
	clf, err := timefmt.New("%d/%b/%Y:%H:%M:%S %z", "")
	if err != nil {
		return nil, err
	}
	iso, err := timefmt.New("rfc3339", "")
	name := n.member
	return &access{time: clf, iso: iso, names: accessNames{
		vhost: name("vhost"), addr: name("remote_addr"), ident: name("remote_ident"), user: name("remote_user"),
		method: name("method"), path: name("path"), protocol: name("protocol"), request: name("request"),
		status: name("status"), size: name("body_bytes_sent"), referer: name("http_referer"), agent: name("http_user_agent"),
		tail: newTailNames(name),
	}}, err
}

// parse implements parser.
func (f *access) parse(b *record.Batch, r *record.Record) problem {
	p := r.Line
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
	if a, ok = f.who(a, p[:open-1]); !ok {
		return unparsed("address, identity and user were expected", 0)
	}
	i := end + 1
	a, i = f.request(a, p, i+1)
	if i < 0 {
		return unparsed("no request in quotes was found", end+1)
	}
	start := i
	if a, i = f.numbers(a, p, i); i < 0 {
		return unparsed("status and bytes were expected", start)
	}
	for _, name := range [...]member{f.names.referer, f.names.agent} {
		if i == len(p) {
			break
		}
		start = i
		if a, i = f.quoted(a, name, p, i+1); i < 0 {
			return unparsed("referer and agent in quotes were expected", start)
		}
	}
	if i < len(p) {
		a = f.tail(a, p[i:])
	}
	r.Time = ns
	f.scratch = trimmed(f.scratch)
	finish(b, r, a, at)
	return problem{}
}

// maxTime is how long a time in brackets can be, at most. It bounds the search for the second bracket, so that a line of
// nothing but first ones costs no more than others.
const maxTime = 64

// findTime finds the brackets around the time. A user's name may hold a bracket, so that only one with the request
// behind it counts.
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

// who takes apart what stands before the time: addr ident user. addr may be a list with commas, where it was taken from
// X-Forwarded-For, and user may hold blanks.
func (f *access) who(a, p []byte) ([]byte, bool) {
	addr, rest, ok := cutList(p)
	ident, user, ok2 := bytes.Cut(rest, blank)
	if !ok || !ok2 || len(addr) == 0 {
		return a, false
	}
	if next, rest, ok := bytes.Cut(user, blank); ok && string(ident) != "-" && string(next) == "-" && isVhost(addr) {
		a = f.names.vhost.appendText(a, addr)
		addr, ident, user = ident, next, rest
	}
	a = f.names.addr.appendText(a, addr)
	if string(ident) != "-" {
		a = f.names.ident.appendText(a, ident)
	}
	if string(user) != "-" && len(user) > 0 {
		a = f.names.user.appendText(a, user)
	}
	return a, true
}

var blank = []byte(" ")

// cutList cuts p behind its first word, to which what follows a comma belongs.
func cutList(p []byte) (word, rest []byte, ok bool) {
	for i := 0; i < len(p); i++ {
		if p[i] == ' ' && (i == 0 || p[i-1] != ',') {
			return p[:i], p[i+1:], true
		}
	}
	return p, nil, false
}

// isVhost reports whether word is host:port.
func isVhost(word []byte) bool {
	i := bytes.LastIndexByte(word, ':')
	return i > 0 && i+1 < len(word) && digits(word, i+1) == len(word)
}

// numbers reads status and bytes, each with a blank before it.
func (f *access) numbers(a, p []byte, i int) ([]byte, int) {
	for _, name := range [...]member{f.names.status, f.names.size} {
		if i+1 >= len(p) || p[i] != ' ' {
			return a, -1
		}
		i++
		end := digits(p, i)
		switch {
		case end > i:
			a = name.appendNumber(a, p[i:end])
		case p[i] == '-':
			end++
		default:
			return a, -1
		}
		i = end
	}
	if i < len(p) && p[i] != ' ' {
		return a, -1
	}
	return a, i
}

// request reads the request in its quotes, which begin at i. What is no request line stays whole: servers log whatever
// was sent to them.
func (f *access) request(a, p []byte, i int) ([]byte, int) {
	inside, end, plain := quotes(p, i)
	if end < 0 {
		return a, -1
	}
	n := 0
	for n < len(inside) && isMethod(inside[n]) {
		n++
	}
	if n == 0 || n == len(inside) || inside[n] != ' ' {
		return f.text(a, f.names.request, inside, plain), end
	}
	path, protocol := inside[n+1:], []byte(nil)
	if last := bytes.LastIndexByte(path, ' '); last >= 0 {
		if path, protocol = path[:last], path[last+1:]; !bytes.HasPrefix(protocol, []byte("HTTP/")) {
			return f.text(a, f.names.request, inside, plain), end
		}
	}
	a = f.names.method.appendText(a, inside[:n])
	a = f.text(a, f.names.path, path, plain)
	if protocol != nil {
		a = f.text(a, f.names.protocol, protocol, plain)
	}
	return a, end
}

func isMethod(c byte) bool { return c >= 'A' && c <= 'Z' || c == '-' || c == '_' }

// quoted reads a blank and a string in quotes, which begin at i.
func (f *access) quoted(a []byte, name member, p []byte, i int) ([]byte, int) {
	if p[i-1] != ' ' {
		return a, -1
	}
	inside, end, plain := quotes(p, i)
	if end < 0 {
		return a, -1
	}
	return f.text(a, name, inside, plain), end
}

// text appends what was in quotes; nothing if that is - or nothing.
func (f *access) text(a []byte, name member, inside []byte, plain bool) []byte {
	if len(inside) == 0 || string(inside) == "-" {
		return a
	}
	if !plain {
		f.scratch = appendUnquoted(f.scratch[:0], inside)
		inside = f.scratch
	}
	return name.appendText(a, inside)
}

// quotes finds the string in quotes that begins at i: its inside, and the index behind it, which is the end of p or a
// blank; -1 if there is none. plain says that there is no backslash in it.
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

// closing is the index of the first quote at or behind i that no backslash escapes; -1 if there is none.
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
