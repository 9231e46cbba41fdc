package kafka

import (
	"slices"
	"time"

	"github.com/IBM/sarama"

	"github.com/remora-logs/remora/shared/record"
)

// identityHeader is the header that carries a record's identity: the same each time the record is sent.
var identityHeader = []byte("remora_id")

// workspace is the memory that one batch is turned into record batches in, used again for the next one. The structures
// are sarama's; they are kept in slabs, so that a record costs no allocation.
type workspace struct {
	enc     record.Encoder
	bytes   []byte // values and identities; grows, and what was sliced from it before stays where it was
	records []sarama.Record
	ids     []sarama.RecordHeader
	headers []*sarama.RecordHeader
	queues  []*queue // of this batch; sorted by their partitions' order once all are there
	queueOf map[*partition]*queue
	spare   []*queue // of earlier batches
	routes  map[*record.Source]*route
	batch   uint64 // counts batches
	hasher  hasher
	base    time.Duration // whole milliseconds since 1970, to which all records' times are relative
}

// route is what the records of a source share on their way to Kafka. It is kept from batch to batch.
type route struct {
	topic     *topic
	key       []byte                 // nil where it is a field of each record
	partition *partition             // that the key leads to
	queue     *queue                 // to partition, in the batch that used it last
	batch     uint64                 // which that was
	headers   []*sarama.RecordHeader // the origin's
	size      int                    // bytes of the headers
}

// maxRoutes is how many routes are kept; containers come and go.
const maxRoutes = 10_000

// queue is the records of the batch that go to one partition, in order.
type queue struct {
	p       *partition
	records []*sarama.Record
	index   []int // of each in the batch
	sizes   []int // of each in a record batch, at most
	sent    int   // how many are done with
	most    int   // how many a record batch may hold; 0 where only bytes count
	err     error // why the rest is not sent
}

// overhead bounds what a record takes in a record batch beside its key, value and headers: seven varints and a byte.
const overhead = 40

func newWorkspace() *workspace {
	return &workspace{
		records: make([]sarama.Record, 0, maxRecords), ids: make([]sarama.RecordHeader, 0, maxRecords),
		queueOf: make(map[*partition]*queue), routes: make(map[*record.Source]*route),
	}
}

// maxRecords is how many records a request holds: slabs must not grow, because records are pointed to.
const maxRecords = 2 << 10

// reset readies w for records of about the given time.
func (w *workspace) reset(ns int64) {
	w.base = millis(ns)
	w.records, w.ids = w.records[:0], w.ids[:0]
	w.bytes, w.headers = w.bytes[:0], w.headers[:0]
	w.spare, w.queues = append(w.spare, w.queues...), w.queues[:0]
	clear(w.queueOf)
	if len(w.routes) > maxRoutes {
		clear(w.routes)
	}
	w.batch++
}

// queue returns the queue to p, made where this batch has none yet.
func (w *workspace) queue(p *partition) *queue {
	q := w.queueOf[p]
	if q == nil {
		if n := len(w.spare) - 1; n >= 0 {
			q, w.spare = w.spare[n], w.spare[:n]
		} else {
			q = new(queue)
		}
		*q = queue{p: p, records: q.records[:0], index: q.index[:0], sizes: q.sizes[:0]}
		w.queueOf[p] = q
		w.queues = append(w.queues, q)
	}
	return q
}

// add turns r, record i of its batch, into a Kafka record and queues it.
func (w *workspace) add(o *Output, rt *route, r *record.Record, i int) {
	at := len(w.bytes)
	w.bytes = w.enc.AppendRecord(w.bytes, r)
	value := w.bytes[at:len(w.bytes):len(w.bytes)]
	at = len(w.bytes)
	w.bytes = r.AppendID(w.bytes)
	w.ids = append(w.ids, sarama.RecordHeader{Key: identityHeader, Value: w.bytes[at:len(w.bytes):len(w.bytes)]})
	id := &w.ids[len(w.ids)-1]

	at = len(w.headers)
	w.headers = append(append(w.headers, id), rt.headers...)
	headers := w.headers[at:len(w.headers):len(w.headers)]

	q, key := rt.queue, rt.key
	switch {
	case key != nil && rt.batch != w.batch:
		q = w.queue(rt.partition)
		rt.queue, rt.batch = q, w.batch
	case key == nil:
		key = w.fieldKey(o.config.PartitionKey, r)
		q = w.queue(rt.topic.partition(w.hasher.partition(key, rt.topic.count())))
	}
	w.records = append(w.records, sarama.Record{
		Key: key, Value: value, Headers: headers, TimestampDelta: millis(r.Time) - w.base,
	})
	q.records = append(q.records, &w.records[len(w.records)-1])
	q.index = append(q.index, i)
	q.sizes = append(q.sizes, overhead+rt.size+len(key)+len(value)+len(identityHeader)+len(id.Value))
}

// fieldKey is the value of the field that chooses the partition, the stream's where r has no such field.
func (w *workspace) fieldKey(field string, r *record.Record) []byte {
	rest := r.Fields
	for {
		key, value, after, ok := record.NextField(rest)
		if !ok {
			break
		}
		if string(key) == field {
			at := len(w.bytes)
			w.bytes = record.AppendText(w.bytes, value)
			return w.bytes[at:len(w.bytes):len(w.bytes)]
		}
		rest = after
	}
	at := len(w.bytes)
	w.bytes = append(w.bytes, r.Source.ID...)
	return w.bytes[at:len(w.bytes):len(w.bytes)]
}

// next is the queue's next record batch, of at most limit bytes, but always of one record.
func (q *queue) next(limit int) []*sarama.Record {
	n, size := 0, 0
	for i := q.sent; i < len(q.records) && (n == 0 || size+q.sizes[i] <= limit && (q.most == 0 || n < q.most)); i++ {
		size += q.sizes[i]
		n++
	}
	return q.records[q.sent : q.sent+n]
}

// recordBatch makes a record batch of records.
func (w *workspace) recordBatch(records []*sarama.Record, codec sarama.CompressionCodec) *sarama.RecordBatch {
	last := records[0].TimestampDelta
	for i, r := range records {
		r.OffsetDelta = int64(i)
		last = max(last, r.TimestampDelta)
	}
	return &sarama.RecordBatch{
		Version: 2, Codec: codec, CompressionLevel: sarama.CompressionLevelDefault,
		LastOffsetDelta: int32(len(records) - 1), PartitionLeaderEpoch: -1,
		FirstTimestamp: time.Unix(0, int64(w.base)), MaxTimestamp: time.Unix(0, int64(w.base+last)),
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
		Records: records,
	}
}

// millis cuts ns since 1970 to the milliseconds that Kafka knows. It knows no time before 1970.
func millis(ns int64) time.Duration { return time.Duration(max(ns, 0)).Truncate(time.Millisecond) }

// hasher chooses partitions as Kafka's own Java client does, so that other producers' records of the same key land
// beside ours.
type hasher struct {
	partitioner sarama.Partitioner
	message     sarama.ProducerMessage
	key         keyEncoder
}

type keyEncoder struct{ key []byte }

func (k *keyEncoder) Encode() ([]byte, error) { return k.key, nil }
func (k *keyEncoder) Length() int             { return len(k.key) }

func (h *hasher) partition(key []byte, count int32) int32 {
	if h.partitioner == nil {
		h.partitioner = sarama.NewMurmur2Partitioner("")
		h.message.Key = &h.key
	}
	h.key.key = key
	p, _ := h.partitioner.Partition(&h.message, count) // its only error is the encoder's
	return p
}

// sortByOrder brings queues into the order in which partitions are locked.
func sortByOrder(queues []*queue) {
	slices.SortFunc(queues, func(a, b *queue) int { return a.p.order - b.p.order })
}
