// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
)

// marker precedes the ten-digit number of each line, by which the server recognises it.
const marker = "seq_"

// kinds are the inputs, by name: nginx's combined log, 183 bytes a line, and JSON, 233 bytes a line, newline included.
var kinds = map[string]func(dst []byte, n int) []byte{
	"nginx": func(dst []byte, n int) []byte {
		line := fmt.Appendf(dst, `10.1.%d.%d - - [21/Nov/2026:08:%02d:%02d +0000] "GET /seq_%010d HTTP/1.1" %d %d "-" "Mozilla/5.0 (X11; Linux x86_64)`,
			n>>8&255, n&255, n/60%60, n%60, n, 200+n%5, n%50000)
		return pad(line, len(dst), 183, ' ', '"')
	},
	"json": func(dst []byte, n int) []byte {
		line := fmt.Appendf(dst, `{"time":"2026-11-21T08:%02d:%02d.%06dZ","level":"info","logger":"shop.cart","path":"/seq_%010d","status":%d,"duration_ms":%d.5,"user":{"id":%d,"plan":"free"},"msg":"cart updated`,
			n/60%60, n%60, n%1000000, n, 200+n%5, n%900, n%100000)
		return pad(line, len(dst), 233, '.', '"', '}')
	},
}

// pad fills the line that begins at dst[from] up to size bytes, including tail and newline.
func pad(line []byte, from, size int, fill byte, tail ...byte) []byte {
	for len(line)-from < size-len(tail)-1 {
		line = append(line, fill)
	}
	return append(append(line, tail...), '\n')
}

// write writes a file of that many lines of a kind.
func write(path, kind string, lines int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	var line []byte
	for n := range lines {
		line = kinds[kind](line[:0], n)
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// number returns the number in a line, escaped or not; -1 if it has none.
func number(line []byte) int {
	at := bytes.Index(line, []byte(marker))
	if at < 0 || len(line) < at+len(marker)+10 {
		return -1
	}
	n := 0
	for _, c := range line[at+len(marker):][:10] {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// seen records which numbers have arrived, and how often one arrived again.
type seen struct {
	bits  []uint64
	lines int // different ones
	again int
	odd   int // without a number, or with one out of range
}

func newSeen(lines int) *seen { return &seen{bits: make([]uint64, lines/64+1)} }

func (s *seen) add(n int) {
	if n < 0 || n/64 >= len(s.bits) {
		s.odd++
		return
	}
	if bit := uint64(1) << (n % 64); s.bits[n/64]&bit != 0 {
		s.again++
	} else {
		s.bits[n/64] |= bit
		s.lines++
	}
}
