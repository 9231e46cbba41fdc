// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"slices"

	"github.com/remora-logs/remora/shared/record"
)

// identityHeader is the first header of a record. It holds the identity, which is the same each time the record is sent.
const identityHeader = "remora_id"

// workspace is reusable memory in which one batch becomes record batches. Each record is written once, to the place from which
// it is sent; it costs no allocation and no lock.
type workspace struct {
	enc     record.Encoder
	limit   int      // bytes of a record batch, at most
	queues  []*queue // of this batch; fill sorts them by their partitions' order
	queueOf map[*partition]*queue
	spare   []*queue // of earlier batches
	routes  map[*record.Source]*route
	batch   uint64 // counts batches
	base    int64  // milliseconds since 1970, to which all records' times are relative
	used    int    // bytes in queues
	text    []byte // for a key, and for a record that moves
	key     []byte // with its length in front
	// recordWide and valueWide are the widths of the last lengths written of a record and its value. They precede what they
	// measure, so the next ones are guessed to be as wide.
	recordWide, valueWide int
}

// route holds what the records of a source share on their way to Kafka. It is kept from batch to batch.
type route struct {
	topic     *topic
	partition *partition // of the key; nil if the key is a field of each record
	key       []byte     // with its length in front; nil if it is a field
	queue     *queue     // to partition, in the batch that used it last
	batch     uint64     // the number of that batch
	// identity is the number of headers, the name of the identity's, room for its length at idAt, and the beginning of all
	// identities of the source. headers are the other headers, the origin's.
	identity []byte
	idAt     int
	headers  []byte
}

// maxRoutes bounds the routes kept, because containers come and go.
const maxRoutes = 10_000

// queue holds the records of the batch that go to one partition, in order and encoded.
type queue struct {
	p       *partition
	bytes   []byte   // record batches, one after the other
	batches []layout // of bytes
	starts  []int32  // where each record begins in bytes
	index   []int32  // index of each record in the pipeline's batch
	sent    int      // how many are decided
	most    int      // how many a record batch may hold; 0 if only bytes count
	err     error    // why the rest is not sent
	blocked bool     // err is something that an operator has to mend
	aside   []byte   // a record batch that is not among batches
	packed  []byte   // a record batch, compressed
	folded  folded
}

// layout is the place of a record batch: room for its header, and the records after it.
type layout struct {
	at    int
	first int   // record
	last  int64 // the latest time, relative to the base
}

func newWorkspace(limit int) *workspace {
	return &workspace{
		limit: limit, recordWide: 2, valueWide: 2,
		queueOf: make(map[*partition]*queue), routes: make(map[*record.Source]*route),
	}
}

// reset prepares w for records of about the given time.
func (w *workspace) reset(ns int64) {
	w.base, w.used = millis(ns), 0
	w.spare, w.queues = append(w.spare, w.queues...), w.queues[:0]
	w.trim()
	clear(w.queueOf)
	if len(w.routes) > maxRoutes {
		clear(w.routes)
	}
	w.batch++
}

// maxHeld bounds the bytes of queues kept for the next batch. It leaves room for the few queues that take turns at holding
// most of a request, or their memory would be allocated again all the time.
const maxHeld = 8 * requestBytes

// trim frees the memory of queues that were not used for long, each of which may have grown to a whole request.
func (w *workspace) trim() {
	held := 0
	for _, q := range slices.Backward(w.spare) {
		if held += cap(q.bytes) + cap(q.aside) + cap(q.packed); held > maxHeld {
			*q = queue{} // a route may still refer to the queue, so the queue itself must hold nothing
		}
	}
}

// queue returns the queue to p. It makes one if this batch has none yet.
func (w *workspace) queue(p *partition) *queue {
	q := w.queueOf[p]
	if q == nil {
		if n := len(w.spare) - 1; n >= 0 {
			q, w.spare = w.spare[n], w.spare[:n]
		} else {
			q = new(queue)
		}
		*q = queue{
			p: p, bytes: q.bytes[:0], batches: q.batches[:0], starts: q.starts[:0], index: q.index[:0],
			aside: q.aside, packed: q.packed,
		}
		q.begin()
		w.queueOf[p] = q
		w.queues = append(w.queues, q)
	}
	return q
}

// begin begins a record batch.
func (q *queue) begin() {
	q.batches = append(q.batches, layout{at: len(q.bytes), first: len(q.starts)})
	q.bytes = append(q.bytes, make([]byte, headerBytes)...)
}

// add encodes r, record i of its batch, as a Kafka record.
func (w *workspace) add(o *Output, rt *route, r *record.Record, i int) {
	q, key := rt.queue, rt.key
	switch {
	case rt.partition == nil:
		w.text = appendFieldKey(w.text[:0], o.key.name, r)
		q = w.queue(rt.topic.partition(partitionOf(w.text, rt.topic.count())))
		w.key = appendBytes(w.key[:0], w.text)
		key = w.key
	case rt.batch != w.batch:
		q = w.queue(rt.partition)
		rt.queue, rt.batch = q, w.batch
	}
	b := &q.batches[len(q.batches)-1]
	p, start := q.bytes, len(q.bytes)
	delta := millis(r.Time) - w.base

	p = append(p, noLength[:w.recordWide]...)
	p = append(p, 0) // attributes
	p = binary.AppendVarint(p, delta)
	p = binary.AppendVarint(p, int64(len(q.starts)-b.first))
	p = append(p, key...)
	at := len(p)
	p = append(p, noLength[:w.valueWide]...)
	p = o.config.Format.AppendBare(p, &w.enc, r)
	p, w.valueWide = putLength(p, at, w.valueWide)
	at = len(p) + rt.idAt
	p = append(p, rt.identity...)
	p = r.AppendIDPlace(p)
	p, _ = putLength(p, at, 1)
	p = append(p, rt.headers...)
	p, w.recordWide = putLength(p, start, w.recordWide)

	q.bytes = p
	w.used += len(p) - start
	if len(q.starts) > b.first && len(p)-b.at > w.limit {
		start = w.move(q, start)
		b = &q.batches[len(q.batches)-1]
	}
	if len(q.starts) == b.first || delta > b.last {
		b.last = delta
	}
	q.starts = append(q.starts, int32(start))
	q.index = append(q.index, int32(i))
}

// move makes the last record, which begins at start, the first of another record batch, and returns where it begins then.
func (w *workspace) move(q *queue, start int) int {
	w.text = append(w.text[:0], q.bytes[start:]...)
	q.bytes = q.bytes[:start]
	q.begin()
	start = len(q.bytes)
	q.bytes = appendRenumbered(q.bytes, w.text, 0)
	return start
}

// appendBytes appends s with its length in front.
func appendBytes[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(binary.AppendVarint(dst, int64(len(s))), s...)
}

// appendFieldKey appends the value of the field that chooses the partition, or the stream's ID if r has no such field.
func appendFieldKey(dst []byte, field string, r *record.Record) []byte {
	rest := r.Fields
	for {
		key, value, after, ok := record.NextField(rest)
		if !ok {
			return append(dst, r.Source.ID...)
		}
		if string(key) == field {
			return record.AppendText(dst, value)
		}
		rest = after
	}
}

// left returns how many records are not decided.
func (q *queue) left() int { return len(q.starts) - q.sent }

// next returns how many records the queue's next record batch is to have: the rest of the one in which they lie, at most q.most.
func (q *queue) next() int {
	n := q.left()
	for _, b := range slices.Backward(q.batches) {
		if b.first <= q.sent {
			break
		}
		n = b.first - q.sent
	}
	if q.most > 0 {
		n = min(n, q.most)
	}
	return n
}

// take returns the next n records as one record batch with room for its header, and their latest time, relative to the base.
// Usually that is a record batch in bytes; otherwise take assembles one in aside.
func (q *queue) take(n int) (batch []byte, last int64) {
	for i, b := range q.batches {
		end, after := len(q.bytes), len(q.starts)
		if i+1 < len(q.batches) {
			end, after = q.batches[i+1].at, q.batches[i+1].first
		}
		if b.first == q.sent && after == q.sent+n {
			return q.bytes[b.at:end:end], b.last
		}
	}
	q.aside = append(q.aside[:0], make([]byte, headerBytes)...)
	last = math.MinInt64
	for i, at := range q.starts[q.sent : q.sent+n] {
		last = max(last, recordTime(q.bytes[at:]))
		q.aside = appendRenumbered(q.aside, q.bytes[at:], i)
	}
	return q.aside, last
}

// fingerprint returns a hash of the next n records' identities, in order.
func (q *queue) fingerprint(n int) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, at := range q.starts[q.sent : q.sent+n] {
		_, _ = h.Write(recordIdentity(q.bytes[at:]))
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}

// millis truncates ns since 1970 to Kafka's milliseconds. Times before 1970 become 0.
func millis(ns int64) int64 { return max(ns, 0) / 1e6 }

// sortByOrder sorts queues in the order in which partitions are locked.
func sortByOrder(queues []*queue) {
	slices.SortFunc(queues, func(a, b *queue) int { return a.p.order - b.p.order })
}
