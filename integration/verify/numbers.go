// SPDX-License-Identifier: Apache-2.0

// Package verify judges what has arrived of the generator's numbered lines. It keeps a bit for each number of each
// stream, because a mere count hides a loss behind a duplicate.
package verify

import (
	"fmt"
	"strings"
)

// Numbers is which numbers of one stream have arrived. The zero value has none.
type Numbers struct {
	bits []uint64
	last int // highest so far
	// Distinct is how many different numbers there were.
	Distinct int
	// Twice is how many came that had been there before.
	Twice int
	// Disorder is how many came for the first time after a higher one.
	Disorder int
}

// Add notes that number n has arrived.
func (s *Numbers) Add(n int) {
	for n/64 >= len(s.bits) {
		s.bits = append(s.bits, 0)
	}
	word, bit := n/64, uint64(1)<<(n%64)
	if s.bits[word]&bit != 0 {
		s.Twice++
		return
	}
	s.bits[word] |= bit
	if s.Distinct > 0 && n < s.last {
		s.Disorder++
	}
	s.last = max(s.last, n)
	s.Distinct++
}

// Has reports whether n has arrived.
func (s *Numbers) Has(n int) bool { return n/64 < len(s.bits) && s.bits[n/64]&(1<<(n%64)) != 0 }

// Missing is how many of the numbers from 0 to want-1 have not arrived.
func (s *Numbers) Missing(want int) int {
	missing := 0
	for n := range want {
		if !s.Has(n) {
			missing++
		}
	}
	return missing
}

// Holes names the first few ranges of the missing numbers.
func (s *Numbers) Holes(want int) string {
	var holes []string
	for n := 0; n < want && len(holes) < 5; n++ {
		if s.Has(n) {
			continue
		}
		from := n
		for n+1 < want && !s.Has(n+1) {
			n++
		}
		holes = append(holes, fmt.Sprintf("%d-%d", from, n))
	}
	return strings.Join(holes, ", ")
}
