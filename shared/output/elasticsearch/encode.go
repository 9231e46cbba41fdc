// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/record"
)

// indexer finds the indices of records. Most records have the index of the one before.
type indexer struct {
	pattern *pattern
	source  *record.Source
	time    int64
	period  int64
	name    string
}

func (x *indexer) index(r *record.Record) string {
	if r.Source == x.source && r.Time == x.time {
		return x.name
	}
	x.time = r.Time
	period := x.pattern.period(r.Time)
	if r.Source == x.source && period == x.period {
		return x.name
	}
	// Other sources usually have the same target. Keep an equal string, because it is compared often.
	if name := x.pattern.name(r.Source, r.Time); name != x.name {
		x.name = name
	}
	x.source, x.period = r.Source, period
	return x.name
}

// common returns the index of all records of b; empty if they have several indices or pipelines.
func common(p *pattern, b *record.Batch) string {
	x := indexer{pattern: p}
	first := x.index(&b.Records[0])
	source, pipeline := b.Records[0].Source, b.Records[0].Source.Pipeline
	for i := 1; i < len(b.Records); i++ {
		r := &b.Records[i]
		if r.Source == source && r.Time == x.time {
			continue
		}
		if x.index(r) != first || r.Source.Pipeline != pipeline {
			return ""
		}
		source = r.Source
	}
	return first
}

// action is the approximate length of the line that precedes each record.
const action = len(`{"create":{"_index":"index-2006.01.02","_id":"0123456789abcdef.01234567"}}` + "\n\n")

// encode writes b as the body of a bulk request. shared means that the URL names the index. types holds the indices' types;
// nil if the server has none.
func (o *Output) encode(to *web.Buffer, b *record.Batch, shared bool, types map[string]string) {
	var (
		x      = indexer{pattern: &o.pattern}
		head   []byte // the action, up to the part of the identity that varies
		index  string
		source *record.Source
	)
	to.Room(record.JSONSize(b.Records) + len(b.Records)*action)
	for i := range b.Records {
		r := &b.Records[i]
		name := ""
		if !shared {
			name = x.index(r)
		}
		if r.Source != source || name != index {
			index, source = name, r.Source
			head = o.appendHead(head[:0], index, types[index], source)
		}
		p := append(to.Bytes, head...)
		if o.config.Dedup {
			p = append(r.AppendIDPlace(p), '"')
		}
		p = append(p, "}}\n"...)
		p = to.Enc.AppendRecord(p, r)
		to.Bytes = append(p, '\n')
		to.Pack()
	}
}

// body is a bulk request. index is the one in its URL; empty if the body names the index of each record.
type body struct {
	buffer *web.Buffer
	index  string
}

// bodyKey holds what a body depends on besides the records.
type bodyKey struct {
	pattern, zone string
	dedup, named  bool
	codec         web.Codec
}

// body encodes b, unless another output has already encoded the same. named means that the URL may name the index.
func (o *Output) body(b *record.Batch, named bool, types map[string]string) (all *body, release func()) {
	if b.Common != nil && len(types) == 0 {
		key := bodyKey{o.config.indexPattern(), o.config.IndexZone, o.config.Dedup, named, o.config.Compression}
		shared, _ := b.Common.Made(key, func() (any, func()) {
			all, release := o.newBody(b, named, nil)
			if o.client.Seal(all.buffer) != nil {
				release()
				return nil, nil
			}
			return all, release
		}).(*body)
		if shared != nil {
			return shared, func() {}
		}
	}
	return o.newBody(b, named, types)
}

func (o *Output) newBody(b *record.Batch, named bool, types map[string]string) (all *body, release func()) {
	all = &body{buffer: o.client.Buffer()}
	if named {
		all.index = common(&o.pattern, b)
	}
	o.encode(all.buffer, b, all.index != "", types)
	return all, func() { o.client.Release(all.buffer) }
}

// create is the beginning of an action.
const create = `{"create":{`

// appendHead appends the beginning of an action for s's records, up to the part of their identities that varies. It leaves out
// members that are empty.
func (o *Output) appendHead(dst []byte, index, kind string, s *record.Source) []byte {
	start := len(dst) + len(create)
	dst = append(dst, create...)
	for _, m := range [...]struct{ name, value string }{{`"_index":`, index}, {`"_type":`, kind}, {`"pipeline":`, s.Pipeline}} {
		if m.value == "" {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = record.AppendString(append(dst, m.name...), m.value)
	}
	if o.config.Dedup {
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = s.AppendIDStart(append(dst, `"_id":"`...))
	}
	return dst
}
