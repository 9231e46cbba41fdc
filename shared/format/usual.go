// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"math/bits"
	"slices"

	"github.com/remora-logs/remora/shared/record"
)

// maxMarked is the length of the longest line that marks cover.
const maxMarked = 512

// notThere is the number of trailing zeros of an empty word.
const notThere = 64

// marks holds the places of quotes and blanks in a line: bit i stands for byte i. Words after the last one of the line are
// those of an earlier line.
type marks struct {
	quotes, blanks [maxMarked / 64]uint64
}

// find stores the places of the first quotes of a line of n bytes in at, and reports whether there are enough to fill it.
func (m *marks) find(at *[6]int, n int) bool {
	k := 0
	for w := range m.quotes {
		if w*64 >= n {
			break
		}
		for word := m.quotes[w]; word != 0; word &= word - 1 {
			at[k] = w*64 + bits.TrailingZeros64(word)
			if k++; k == len(at) {
				return true
			}
		}
	}
	return false
}

// head returns the places of the first three blanks; notThere for one that is not among the first 64 bytes.
func (m *marks) head() (first, second, third int) {
	word := m.blanks[0]
	first = bits.TrailingZeros64(word)
	word &= word - 1
	second = bits.TrailingZeros64(word)
	return first, second, bits.TrailingZeros64(word & (word - 1))
}

// usual is parse for lines of the most frequent form:
//
//	addr ident user [21/Nov/2026:08:00:00 +0000] "request" status bytes "referer" "agent" …
//
// It finds all quotes and blanks at once, and does not look for what has to be escaped. ok is false for a line that may have
// another form; then b and r are unchanged, and parseAny decides.
func (f *access) usual(b *record.Batch, r *record.Record) (ok bool) {
	p := r.Line
	if len(p) > maxMarked || len(p) == 0 || !markWide(&f.marks, p) {
		return false
	}
	var quotes [6]int
	if !f.marks.find(&quotes, len(p)) {
		return false
	}
	const bracketed = len("[21/Nov/2026:08:00:00 +0000]")
	open := quotes[0] - 1 - bracketed
	addr, ident, user := f.marks.head()
	// There must be three columns before the time, none with a bracket that might begin it, and the first must not be a list.
	if user == notThere || user != open-1 || addr == 0 || p[addr-1] == ',' || bytes.IndexByte(p[:open], '[') >= 0 {
		return false
	}
	// There must be the time in brackets, the request, room for two numbers, and two strings.
	end := quotes[5] + 1
	if p[open] != '[' || p[quotes[0]-2] != ']' || p[quotes[0]-1] != ' ' || p[quotes[2]-1] != ' ' ||
		string(p[quotes[3]:quotes[4]]) != `" ` || end < len(p) && p[end] != ' ' {
		return false
	}
	ns, ok := f.parseTime(p[open+1:quotes[0]-2], r.Time)
	if !ok {
		return false
	}
	f.clean = true
	b.Arena = slices.Grow(b.Arena, 2*len(p)+256)
	at, a := len(b.Arena), b.Arena
	a = f.peer(a, p[:addr], p[addr+1:ident], p[ident+1:user])
	a = f.request(a, p[quotes[0]+1:quotes[1]], true)
	a, ok = f.usualNumbers(a, p[:quotes[2]-1], quotes[1]+1)
	if ok {
		a = f.text(a, f.names.referer, p[quotes[2]+1:quotes[3]], true)
		a = f.text(a, f.names.agent, p[quotes[4]+1:quotes[5]], true)
		f.extra = f.extra[:0]
		if end < len(p) {
			a = f.tail(a, p, end, quotes[1]-quotes[0]-1)
		}
		r.Time = ns
		a = f.rest(a)
		finish(b, r, a, at)
	}
	f.clean = false
	return ok
}

// usualNumbers is numbers for status and bytes from i to the end of p, after which the line has a blank.
func (f *access) usualNumbers(a, p []byte, i int) (_ []byte, ok bool) {
	const size = len(" 200 ")
	if n := p[i:]; len(n) > size && n[0] == ' ' && isDigit(n[1]) && isDigit(n[2]) && isDigit(n[3]) && n[4] == ' ' && digits(n, size) == len(n) {
		f.size = n[size:]
		return f.names.size.appendNumber(f.names.status.appendNumber(a, n[1:4]), f.size), true
	}
	a, end, ok := f.numbers(a, p[:len(p)+1], i)
	return a, ok && end == len(p)
}
