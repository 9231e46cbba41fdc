// SPDX-License-Identifier: Apache-2.0

package loki

import (
	"regexp"
	"strconv"
	"time"
)

// Loki's messages about entries that it does not take (pkg/validation/validate.go, pkg/ingester/stream.go). A push that is
// answered with 400, or with a stream's 429, was taken except for these entries.
var (
	ignoredOf   = regexp.MustCompile(`total ignored: (\d+) out of (\d+) for stream: (\{.*\})`)
	ofStream    = regexp.MustCompile(`(?:for|create) stream:? '?(\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\})`)
	entrySize   = regexp.MustCompile(`(?i)max entry size '?(\d+)'? bytes exceeded`)
	oldestStamp = regexp.MustCompile(`oldest acceptable timestamp is: (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)`)
	tooOld      = regexp.MustCompile(`has timestamp too old`)
)

// complaint holds what an answer says about the entries that were not taken.
type complaint struct {
	stream  string // the label set that it is about; empty if it names none
	ignored int    // how many entries of that stream; 0 if not known
	outOf   int
	size    int       // the longest line that is taken; 0 if not known
	oldest  time.Time // the oldest entry that is taken; zero if not known
	byAge   bool      // oldest applies to all streams, and moves with the clock
}

func readComplaint(said string) (c complaint) {
	if m := ofStream.FindStringSubmatch(said); m != nil {
		c.stream = m[1]
	}
	if m := ignoredOf.FindStringSubmatch(said); m != nil {
		c.ignored, _ = strconv.Atoi(m[1])
		c.outOf, _ = strconv.Atoi(m[2])
		c.stream = m[3]
	}
	if m := entrySize.FindStringSubmatch(said); m != nil {
		c.size, _ = strconv.Atoi(m[1])
	}
	if m := oldestStamp.FindStringSubmatch(said); m != nil {
		c.oldest, _ = time.Parse(time.RFC3339Nano, m[1])
		c.byAge = tooOld.MatchString(said)
	}
	return c
}
