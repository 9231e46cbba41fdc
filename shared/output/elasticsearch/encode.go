// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/record"
)

// indexer finds the indices of records, most of which have the one of the record before.
type indexer struct {
	pattern *pattern
	source  *record.Source
	period  int64
	name    string
}

func (x *indexer) index(r *record.Record) string {
	period := x.pattern.period(r.Time)
	if r.Source == x.source && period == x.period {
		return x.name
	}
	// Other sources usually have the same target, and a name that is equal is worth keeping: it is compared often.
	if name := x.pattern.name(r.Source, r.Time); name != x.name {
		x.name = name
	}
	x.source, x.period = r.Source, period
	return x.name
}

// common is the index of all records of b; empty where there are several.
func common(p *pattern, b *record.Batch) string {
	x := indexer{pattern: p}
	first := x.index(&b.Records[0])
	for i := 1; i < len(b.Records); i++ {
		if x.index(&b.Records[i]) != first {
			return ""
		}
	}
	return first
}

// action is about how long the line is that precedes each record.
const action = len(`{"create":{"_index":"index-2006.01.02","_id":"0123456789abcdef.01234567"}}` + "\n\n")

// encode writes b as the body of a bulk request. An index that all records share is in the URL and not here.
// typed says that the server wants a type beside the index, as it was before version 7.
func (o *Output) encode(to *web.Buffer, b *record.Batch, shared, typed bool) {
	var (
		x    = indexer{pattern: &o.pattern}
		head []byte // the action up to the identity
		last string
	)
	if shared {
		head = append(head, `{"create":{`...)
	}
	to.Room(record.JSONSize(b.Records) + len(b.Records)*action)
	for i := range b.Records {
		r := &b.Records[i]
		if !shared {
			if name := x.index(r); name != last || head == nil {
				head, last = appendHead(head[:0], name, typed), name
			}
		}
		p := append(to.Bytes, head...)
		if o.config.Dedup {
			if !shared {
				p = append(p, ',')
			}
			p = append(p, `"_id":"`...)
			p = r.AppendID(p)
			p = append(p, '"')
		}
		p = append(p, "}}\n"...)
		p = to.Enc.AppendRecord(p, r)
		to.Bytes = append(p, '\n')
		to.Pack()
	}
}

func appendHead(dst []byte, index string, typed bool) []byte {
	dst = append(dst, `{"create":{"_index":`...)
	dst = record.AppendString(dst, index)
	if typed {
		dst = append(dst, `,"_type":"_doc"`...)
	}
	return dst
}
