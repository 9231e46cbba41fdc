// SPDX-License-Identifier: Apache-2.0

package format

import "bytes"

// isAddress reports whether p is an IP address, with or without a port; IPv6 with or without brackets and zone.
func isAddress(p []byte) bool {
	if len(p) < 2 || len(p) > len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%")+32 {
		return false
	}
	if p[0] == '[' {
		end := bytes.IndexByte(p, ']')
		return end > 0 && isIPv6(p[1:end]) && (end+1 == len(p) || isPort(p[end+1:]))
	}
	if n := ipv4Length(p); n > 0 {
		return n == len(p) || isPort(p[n:])
	}
	return isIPv6(p)
}

// isPort reports whether p is a colon and a port.
func isPort(p []byte) bool {
	return len(p) > 1 && len(p) < 7 && p[0] == ':' && digits(p, 1) == len(p)
}

// ipv4Length returns the length of the IPv4 address at the beginning of p; 0 if there is none.
func ipv4Length(p []byte) int {
	i := 0
	for part := 1; ; part++ {
		v, start := 0, i
		for i < len(p) && i-start < 3 && isDigit(p[i]) {
			v = v*10 + int(p[i]-'0')
			i++
		}
		switch {
		case i == start || v > 255:
			return 0
		case part == 4:
			if i < len(p) && p[i] != ':' {
				return 0
			}
			return i
		case i == len(p) || p[i] != '.':
			return 0
		}
		i++
	}
}

// isIPv6 reports whether p is an IPv6 address without brackets and port.
func isIPv6(p []byte) bool {
	groups, ok := ipv6Groups(p)
	return ok && (groups == 8 || groups < 8 && bytes.Contains(p, []byte("::")))
}

// ipv6Groups counts the groups of p, which one :: may shorten; ok is false if p can't be an address.
func ipv6Groups(p []byte) (groups int, ok bool) {
	if zone := bytes.IndexByte(p, '%'); zone > 0 && zone+1 < len(p) {
		p = p[:zone]
	}
	short := false
	for i := 0; i < len(p); {
		if p[i] == ':' {
			if i+1 < len(p) && p[i+1] == ':' && !short {
				short = true
				i += 2
				continue
			}
			if i++; i == 1 || i == len(p) || p[i] == ':' {
				return 0, false
			}
			continue
		}
		n := i
		for n < len(p) && isHex(p[n]) {
			n++
		}
		if n < len(p) && p[n] == '.' { // the last two groups may be written as an IPv4 address
			return groups + 2, groups > 0 && ipv4Length(p[i:]) == len(p)-i || short && ipv4Length(p[i:]) == len(p)-i
		}
		if n == i || n-i > 4 {
			return 0, false
		}
		groups++
		i = n
	}
	return groups, groups > 0 || short
}

// splitPort splits the port off an address in the forms that servers write: [::1]:80, 127.0.0.1:80, and ::1:80, whose last
// group is taken for a port only if it has five digits or follows a whole address. Anything but an address may be a name: it
// keeps its colon unless a number follows.
func splitPort(p []byte) (host, port []byte) {
	host = p
	if i := bytes.LastIndexByte(p, ':'); i > 0 && i+1 < len(p) && len(p)-i < 7 && digits(p, i+1) == len(p) {
		full, _ := ipv6Groups(p[:i])
		switch short := bytes.Contains(p[:i], []byte("::")); {
		case p[i-1] == ']', bytes.IndexByte(p[:i], ':') < 0, // an IPv6 address has a colon
			full == 8 && !short, len(p)-i == 6 && isIPv6(p[:i]):
			host, port = p[:i], p[i+1:]
		}
	}
	if n := len(host); n > 2 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	return host, port
}

// isForwarded reports whether p is a list like X-Forwarded-For: of addresses and of names for hidden ones (RFC 7239).
func isForwarded(p []byte) bool {
	for {
		element, rest, more := bytes.Cut(p, []byte(","))
		if element = bytes.Trim(element, " "); !isAddress(element) && string(element) != "unknown" && !isObfuscated(element) {
			return false
		}
		if !more {
			return true
		}
		p = rest
	}
}

func isObfuscated(p []byte) bool {
	if len(p) < 2 || p[0] != '_' {
		return false
	}
	for _, c := range p[1:] {
		if !isAlnum(c) && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// isHost reports whether p can be the name of a server, with or without a port, and is neither an address nor a number.
func isHost(p []byte) bool {
	if i := bytes.LastIndexByte(p, ':'); i > 0 && isPort(p[i:]) {
		p = p[:i]
	}
	letters := string(p) == "_" // nginx's name for none
	for _, c := range p {
		letters = letters || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
		if !isAlnum(c) && c != '.' && c != '-' && c != '_' && c != '*' && c < 0x80 {
			return false
		}
	}
	return letters
}
