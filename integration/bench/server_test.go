// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"testing"
)

// Each protocol's body carries each line once, and an empty line between an action and its document shifts nothing.
func TestLinesAreFoundInEachProtocol(t *testing.T) {
	bulk := func(body []byte, line func(int)) {
		documents(body, func(doc []byte) { line(number(doc)) })
	}
	for name, c := range map[string]struct {
		find func([]byte, func(int))
		body string
		want []int
	}{
		"bulk":             {bulk, "{\"create\":{}}\n{\"message\":\"/seq_0000000001\"}\n{\"create\":{}}\n{\"message\":\"none\"}\n", []int{1, -1}},
		"bulk, no newline": {bulk, "{\"create\":{}}\n{\"message\":\"/seq_0000000001\"}", []int{1}},
		"bulk, empty line": {bulk, "{\"create\":{}}\n\n{\"message\":\"/seq_0000000001\"}\n\n{\"create\":{}}\n{\"message\":\"/seq_0000000002\"}\n", []int{1, 2}},
		"OTLP":             {marks, `{"logRecords":[{"body":"/seq_0000000007 x"},{"body":"/seq_0000000008"}]}`, []int{7, 8}},
		"cut short":        {marks, `/seq_00000000`, []int{-1}},
	} {
		var got []int
		c.find([]byte(c.body), func(n int) { got = append(got, n) })
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v instead of %v", name, got, c.want)
		}
	}
}
