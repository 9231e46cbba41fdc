// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"errors"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/remora-logs/remora/shared/output"
)

// verdict collects the outcome of a batch's records from the goroutines that send them.
type verdict struct {
	mu      sync.Mutex
	partial output.Partial
	// stuck holds the partitions to which something could not be sent, so that later records of the batch don't go there
	// either. It is used only by send, one request after the other.
	stuck map[*partition]stuck
}

// stuck is the reason why nothing more can be sent to a partition, and whether an operator has to mend it.
type stuck struct {
	err     error
	blocked bool
}

func newVerdict() *verdict { return &verdict{stuck: make(map[*partition]stuck)} }

func (v *verdict) retry(cause error, index ...int32) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, i := range index {
		v.partial.Retry = append(v.partial.Retry, int(i))
	}
	if v.partial.Cause == nil {
		v.partial.Cause = cause
	}
}

func (v *verdict) refuse(index int, cause error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.partial.Refused = append(v.partial.Refused, output.Refusal{Index: index, Reason: cause.Error()})
	if v.partial.Cause == nil {
		v.partial.Cause = cause
	}
}

// block notes records whose topic an operator must mend.
func (v *verdict) block(topic string, cause error, index ...int32) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, i := range index {
		v.partial.Blocked = append(v.partial.Blocked, output.Blockage{
			Index: int(i), Destination: destination(topic), Reason: cause.Error(),
		})
	}
	if v.partial.Cause == nil {
		v.partial.Cause = cause
	}
}

// destination returns the destination for a topic, whose name has at most 249 bytes.
func destination(topic string) string { return "topic " + topic }

// result returns the verdict on a batch of n records, as Write does.
func (v *verdict) result(n int) error {
	p := &v.partial
	switch {
	case len(p.Retry)+len(p.Refused)+len(p.Blocked) == 0:
		return nil
	case len(p.Retry) == n && !errors.As(p.Cause, new(*kerr.Error)):
		return p.Cause
	}
	// A broker's error about a partition (too few replicas, no leader) concerns only that one, even if the batch has no other.
	slices.Sort(p.Retry)
	slices.SortFunc(p.Refused, func(a, b output.Refusal) int { return a.Index - b.Index })
	return p
}
