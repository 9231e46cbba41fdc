// SPDX-License-Identifier: Apache-2.0

package web

import (
	"slices"

	"github.com/remora-logs/remora/shared/output"
)

// merge adds the verdict on a part of a batch to all. index holds the positions of the part's records in the batch.
func merge(all, part *output.Partial, index []int) {
	for _, i := range part.Retry {
		all.Retry = append(all.Retry, index[i])
	}
	for _, r := range part.Refused {
		all.Refused = append(all.Refused, output.Refusal{Index: index[r.Index], Reason: r.Reason})
	}
	for _, b := range part.Blocked {
		b.Index = index[b.Index]
		all.Blocked = append(all.Blocked, b)
	}
	if all.Cause == nil {
		all.Cause = part.Cause
	}
	all.After = max(all.After, part.After)
}

// sorted returns p with the records to retry in ascending order, or nil if p names no record.
func sorted(p *output.Partial) error {
	if len(p.Retry)+len(p.Refused)+len(p.Blocked) == 0 {
		return nil
	}
	slices.Sort(p.Retry)
	return p
}
