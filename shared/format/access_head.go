// SPDX-License-Identifier: Apache-2.0

package format

import "bytes"

var blank = []byte(" ")

// head parses what precedes the time: addr ident user, where user may hold blanks. Other columns may precede the address: the
// virtual host, forwarders (a list, or in quotes), a dash for none. ok is false if there are fewer than three columns.
func (f *access) head(a, p []byte) (_ []byte, ok bool) {
	addr, rest, ok := cutColumn(p)
	ident, user, ok2 := bytes.Cut(rest, blank)
	if !ok || !ok2 || len(addr) == 0 {
		return a, false
	}
	if bytes.IndexByte(user, ' ') >= 0 && !(isAddress(addr) && string(ident) == "-") || hasBlank(addr) || shifted(user) {
		return f.columns(a, p), true
	}
	return f.peer(a, addr, ident, user), true
}

// peer appends the three columns of every line.
func (f *access) peer(a, addr, ident, user []byte) []byte {
	if string(addr) != "-" {
		a = f.address(a, addr)
	}
	if string(ident) != "-" && len(ident) > 0 {
		a = f.append(a, f.names.ident, ident)
	}
	if string(user) != "-" && string(user) != `""` && len(user) > 0 { // Apache writes "" for an empty user
		a = f.append(a, f.names.user, user)
	}
	return a
}

// address appends the peer's address, and its port if there is a member for it.
func (f *access) address(a, addr []byte) []byte {
	if f.clean && f.names.addrPort == "" {
		return f.names.addr.appendClean(a, addr)
	}
	return f.names.addr.appendAddress(a, addr, f.names.addrPort)
}

// shifted reports whether user holds the identity and the user, because there is one column too many before them.
func shifted(user []byte) bool { return len(user) > 1 && user[0] == '-' && user[1] == ' ' }

func hasBlank(p []byte) bool { return bytes.IndexByte(p, ' ') >= 0 || p[0] == '"' }

// columns parses a head with more or other columns than addr ident user. The address is the last address that a dash for the
// identity follows, or else the last one; without an address, it is the first host name that a dash follows.
func (f *access) columns(a, p []byte) []byte {
	address, dashed, name := -1, -1, -1 // where these columns begin; -1 for none
	for i := 0; i < len(p); {
		column, rest, ok := cutColumn(p[i:])
		next := i + len(column) + 1
		ident, _, ok2 := bytes.Cut(rest, blank)
		if !ok || !ok2 {
			break
		}
		dash := string(ident) == "-"
		switch {
		case !isAddress(column):
			if dash && name < 0 && isHost(column) {
				name = i
			}
		case dash:
			dashed = i
		default:
			address = i
		}
		i = next
	}
	at := dashed
	if at < 0 {
		at = address
	}
	if at < 0 {
		at = name
	}
	if at < 0 {
		// The first column is a list, for instance if the address was taken from X-Forwarded-For.
		if addr, rest, _ := cutColumn(p); isForwarded(addr) {
			ident, user, _ := bytes.Cut(rest, blank)
			return f.peer(a, addr, ident, user)
		}
		f.unknown(p)
		return a
	}
	if at > 0 {
		a = f.before(a, p[:at-1])
	}
	addr, rest, _ := cutColumn(p[at:])
	ident, user, _ := bytes.Cut(rest, blank)
	if shifted(user) {
		f.unknown(rest)
		ident, user = nil, nil
	}
	return f.peer(a, addr, ident, user)
}

// before appends the columns before the address.
func (f *access) before(a, p []byte) []byte {
	host, list := false, false
	for len(p) > 0 {
		column, rest, _ := cutColumn(p)
		p = rest
		inside := column
		quoted := len(column) > 1 && column[0] == '"' && column[len(column)-1] == '"'
		if quoted {
			inside = column[1 : len(column)-1]
		}
		switch {
		case string(inside) == "-" || len(inside) == 0:
		case !list && (quoted || bytes.IndexByte(inside, ',') > 0) && isForwarded(inside):
			a, list = f.names.tail.forwarded.appendText(a, inside), true
		case !host && (isHost(inside) || isVhost(inside)):
			a, host = f.names.vhost.appendAddress(a, inside, f.names.vhostPort), true
		default:
			f.unknown(column)
		}
	}
	return a
}

// cutColumn cuts p after its first column: a text in quotes, or up to a blank that does not follow a comma.
func cutColumn(p []byte) (column, rest []byte, ok bool) {
	if len(p) > 0 && p[0] == '"' {
		if _, end, _ := quotes(p, 0); end > 0 {
			if end == len(p) {
				return p, nil, false
			}
			return p[:end], p[end+1:], true
		}
	}
	for i := 0; i < len(p); i++ {
		if p[i] == ' ' && (i == 0 || p[i-1] != ',') {
			return p[:i], p[i+1:], true
		}
	}
	return p, nil, false
}

// isVhost reports whether word is host:port, the form of no address without a port.
func isVhost(word []byte) bool {
	i := bytes.LastIndexByte(word, ':')
	return i > 0 && i+1 < len(word) && digits(word, i+1) == len(word) && (ipv4Length(word) == i || word[i-1] == ']' || bytes.IndexByte(word[:i], ':') < 0)
}
