// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/record"
)

// The values of ELASTICSEARCH_ON_CONFLICT.
const (
	conflictRefuse = "refuse"
	conflictText   = "text"
)

// resendConflicts sends the records of b that were refused for the type of one field again, with the same identities and that
// field as text below "conflict.", so that another team's mapping does not lose them. err is the verdict on b. The result is
// that verdict with the outcome of these records.
func (o *Output) resendConflicts(ctx context.Context, b *record.Batch, err error) error {
	var all *output.Partial
	if !errors.As(err, &all) {
		return err
	}
	again, places, rest := record.Batch{}, []int{}, []output.Refusal{}
	for _, refusal := range all.Refused {
		if fields, ok := withoutConflict(b.Records[refusal.Index].Fields, conflictingField(refusal.Reason)); ok {
			r := b.Records[refusal.Index]
			r.Fields = fields
			again.Records, places = append(again.Records, r), append(places, refusal.Index)
		} else {
			rest = append(rest, refusal)
		}
	}
	if len(places) == 0 {
		return err
	}
	all.Refused = rest
	var second *output.Partial
	switch err := o.writeAll(ctx, &again); {
	case err == nil:
		o.conflicts.Add(int64(len(places)))
	case errors.As(err, &second):
		o.conflicts.Add(int64(len(places) - len(second.Refused) - len(second.Retry) - len(second.Blocked)))
		for _, i := range second.Retry {
			all.Retry = append(all.Retry, places[i])
		}
		for _, r := range second.Refused {
			all.Refused = append(all.Refused, output.Refusal{Index: places[r.Index], Reason: r.Reason})
		}
		for _, v := range second.Blocked {
			v.Index = places[v.Index]
			all.Blocked = append(all.Blocked, v)
		}
	default: // their outcome is not known
		all.Retry = append(all.Retry, places...)
	}
	slices.Sort(all.Retry)
	slices.SortFunc(all.Refused, func(a, b output.Refusal) int { return a.Index - b.Index })
	slices.SortFunc(all.Blocked, func(a, b output.Blockage) int { return a.Index - b.Index })
	if len(all.Retry)+len(all.Refused)+len(all.Blocked) == 0 {
		return nil
	}
	return all
}

// conflictingField returns the field that an item's error reports as of another type; empty if the error is about something else.
func conflictingField(text string) string {
	if !strings.Contains(text, "mapper_parsing_exception") && !strings.Contains(text, "document_parsing_exception") &&
		!strings.Contains(text, "illegal_argument_exception: mapper [") {
		return ""
	}
	for _, before := range []string{"failed to parse field [", "object mapping for [", "mapper [", "object field starting or ending with a [.] makes object resolution ambiguous: ["} {
		if _, rest, ok := strings.Cut(text, before); ok {
			name, _, _ := strings.Cut(rest, "]")
			return name
		}
	}
	return ""
}

// withoutConflict returns fields with the one called name moved below "conflict." as text; ok is false if there is none. name
// may be a path into objects, which become text as a whole.
func withoutConflict(fields []byte, name string) (_ []byte, ok bool) {
	for name != "" && !ok {
		var out, moved []byte
		for rest := fields; ; {
			key, value, next, more := record.NextField(rest)
			if !more {
				break
			}
			rest = next
			if plain := record.AppendUnescaped(nil, key); string(plain) == name {
				ok = true
				moved = append(record.AppendString(append(moved, ','), "conflict."+name), ':')
				moved = record.AppendBytes(moved, record.AppendText(nil, value))
				continue
			}
			out = append(append(append(out, ',', '"'), key...), '"', ':')
			out = append(out, value...)
		}
		if ok {
			return bytes.TrimPrefix(append(out, moved...), []byte(",")), true
		}
		name = name[:max(0, strings.LastIndexByte(name, '.'))]
	}
	return nil, false
}

// Conflicts returns the number of records that were stored with a field as text.
func (o *Output) Conflicts() int64 { return o.conflicts.Load() }
