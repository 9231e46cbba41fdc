// SPDX-License-Identifier: Apache-2.0

// Package near finds the word that a misspelt one was probably meant to be.
package near

import "strings"

// DidYouMean returns "; did you mean WORD?" for the nearest of words, or "" if none is near.
func DidYouMean(word string, words []string) string {
	if w := Nearest(word, words); w != "" {
		return "; did you mean " + w + "?"
	}
	return ""
}

// Nearest returns the one of words with the least distance from word, ignoring case: at most a third of its letters, and at
// most three. It returns "" if none is so near.
func Nearest(word string, words []string) string {
	word = strings.ToLower(word)
	if len(word) > 64 {
		return ""
	}
	best, least := "", min(3, len(word)/3)+1
	if len(word) == 2 {
		least = 2
	}
	for _, w := range words {
		if d := distance(word, strings.ToLower(w)); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance returns how many letters must be added, removed, changed or swapped with a neighbour to turn a into b (optimal
// string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
