// SPDX-License-Identifier: Apache-2.0

package declare

import (
	"fmt"
	"maps"
	"slices"
)

// One process serves many containers. What one of them declares is held in memory, applied to each of its records and shown in
// the status. So it is bounded here, where it enters; what exceeds a bound is refused by name.
const (
	maxDeclarations = 256      // per origin
	maxTags         = 256      // per declaration
	maxTagBytes     = 8 << 10  // a tag's value
	maxTagsBytes    = 64 << 10 // all tags of a declaration, keys and values
	maxProblems     = 256      // per origin, errors and warnings each
	maxMetadata     = 256      // tags of com.aliyun.access.* labels
)

// checkTags refuses more tags than a record may have.
func (dr *draft) checkTags(d *Declaration) {
	blame, size := dr.tagEntry(), 0
	for _, key := range slices.Sorted(maps.Keys(d.Tags)) {
		size += len(key) + len(d.Tags[key])
		if n := len(d.Tags[key]); n > maxTagBytes {
			dr.refuse(blame, fmt.Sprintf("the tag %s has %d bytes; at most %d are allowed", quote(key), n, maxTagBytes))
			return
		}
	}
	switch {
	case len(d.Tags) > maxTags:
		dr.refuse(blame, fmt.Sprintf("the log %s has %d tags; at most %d are allowed", d.Name, len(d.Tags), maxTags))
	case size > maxTagsBytes:
		dr.refuse(blame, fmt.Sprintf("the tags of the log %s have %d bytes; at most %d are allowed", d.Name, size, maxTagsBytes))
	}
}

// tagEntry returns the entry to blame for tags: the first that sets any, or else the source.
func (dr *draft) tagEntry() entry {
	for _, e := range dr.entries {
		if e.path == "tags" || len(e.path) > 5 && e.path[:5] == "tags." {
			return e
		}
	}
	source, _ := dr.get("")
	return source
}

// bounded truncates a list of problems; the last one then says how many are not shown.
func bounded(problems []Problem) []Problem {
	if n := len(problems); n > maxProblems {
		problems = append(problems[:maxProblems-1:maxProblems-1], Problem{Key: "…", Message: fmt.Sprintf("%d more problems are not shown", n-maxProblems+1)})
	}
	return problems
}
