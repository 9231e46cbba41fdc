// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

var kafka = protocol{
	name: "kafka",
	once: true,
	not:  onlyHTTP,
	environ: func(address, ca, timeout string) map[string]string {
		environ := map[string]string{
			"KAFKA_BROKERS": address, "KAFKA_USERNAME": "remora", "KAFKA_PASSWORD": secret, "KAFKA_TIMEOUT": timeout + "ms",
		}
		if ca != "" {
			environ["KAFKA_TLS"], environ["KAFKA_TLS_CA"] = "true", ca
		}
		return environ
	},
	start: func(s *server) {
		b := &broker{server: s, logs: map[string]*log{}}
		s.handle = b.serve
	},
}

// Keys of requests, and codes of errors (kafka.apache.org/protocol).
const (
	produce, metadata, saslHandshake, apiVersions, initProducerID, saslAuthenticate = 0, 3, 17, 18, 22, 36

	corrupt, tooLargeCode, notEnoughReplicas, quotaExceeded, outOfOrder, storage, saslFailed, unsupported = 2, 10, 19, 89, 45, 56, 58, 35

	topicForbidden = 29

	partitions = 4
)

// broker is a broker of one node: as much of it as a producer sees, with the sequence checks of a real one.
type broker struct {
	*server
	logs      map[string]*log
	producers int64
}

// log is what a partition knows of its last producer.
type log struct {
	producer int64
	batches  []sequences // the last five
	next     int32
}

type sequences struct{ first, last int32 }

// wire reads and writes Kafka's primitive types. Reading past the end makes it bad.
type wire struct {
	p   []byte
	bad bool
}

func (w *wire) take(n int) []byte {
	if n < 0 || n > len(w.p) {
		w.bad = true
		return make([]byte, max(n, 0)%1024)
	}
	p := w.p[:n]
	w.p = w.p[n:]
	return p
}

func (w *wire) i16() int16 { return int16(w.number(2)) }
func (w *wire) i32() int32 { return int32(w.number(4)) }
func (w *wire) i64() int64 { return int64(w.number(8)) }

func (w *wire) number(n int) (v uint64) {
	for _, c := range w.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (w *wire) text() string { return string(w.take(int(max(w.i16(), 0)))) }

func (w *wire) varint() int64 {
	v, n := binary.Varint(w.p)
	w.take(max(n, 0))
	return v
}

func put16(p []byte, v int) []byte         { return binary.BigEndian.AppendUint16(p, uint16(v)) }
func put32(p []byte, v int) []byte         { return binary.BigEndian.AppendUint32(p, uint32(v)) }
func put64(p []byte, v int64) []byte       { return binary.BigEndian.AppendUint64(p, uint64(v)) }
func putText(p []byte, text string) []byte { return append(put16(p, len(text)), text...) }

// serve answers the requests of a connection, in order.
func (b *broker) serve(c net.Conn) {
	known := false
	for {
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		request := make([]byte, binary.BigEndian.Uint32(size[:])&(64<<20-1))
		how, changed := b.now()
		w := &wire{p: request}
		if _, err := io.ReadFull(c, request[:min(8, len(request))]); err != nil {
			return
		}
		key, version, id := w.i16(), w.i16(), w.i32()
		if how == resetting && key == produce {
			_, _ = io.CopyN(io.Discard, c, int64(len(request)/2))
			b.attempt()
			reset(c)
			return
		}
		if _, err := io.ReadFull(c, request[8:]); err != nil {
			return
		}
		_ = w.text() // client id
		body := put32(nil, int(id))
		switch key {
		case apiVersions:
			body = b.apiVersions(body, version)
		case saslHandshake:
			body = putText(put32(put16(body, 0), 1), "PLAIN")
		case saslAuthenticate:
			token := w.take(int(w.i32()))
			if known = how != unauthorized && string(token) == "\x00remora\x00"+secret; known {
				body = put32(put16(put16(body, 0), -1), 0)
			} else {
				b.attempt()
				body = put32(putText(put16(body, saslFailed), "no"), 0)
			}
		default:
			if !known || how == unauthorized {
				return // as a broker does with who is not, or no longer, known
			}
			switch key {
			case metadata:
				body = b.metadata(body, w)
			case initProducerID:
				body = b.initProducerID(body)
			case produce:
				answer := b.produce(body, w, how)
				b.attempt()
				switch {
				case how == mute:
					<-changed
					return
				case how == forgetful:
					reset(c)
					return
				case how == trickling:
					_, _ = c.Write(put32(nil, 1<<19))
					b.trickle(c, changed)
					return
				case how == garbage:
					_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
					return
				case how == slow:
					time.Sleep(50 * time.Millisecond)
				}
				body = answer
			default:
				b.t.Errorf("request %d", key)
				return
			}
		}
		if _, err := c.Write(append(put32(nil, len(body)), body...)); err != nil {
			return
		}
	}
}

// apiVersions offers the versions that this file knows. A version that a broker does not know is answered in version 0.
func (b *broker) apiVersions(body []byte, version int16) []byte {
	code := 0
	if version > 0 {
		code = unsupported
	}
	offered := [][3]int{
		{produce, 3, 7}, {metadata, 1, 1}, {saslHandshake, 0, 1}, {apiVersions, 0, 0}, {initProducerID, 0, 0}, {saslAuthenticate, 0, 0},
	}
	body = put32(put16(body, code), len(offered))
	for _, o := range offered {
		body = put16(put16(put16(body, o[0]), o[1]), o[2])
	}
	return body
}

func (b *broker) metadata(body []byte, w *wire) []byte {
	host, port, _ := net.SplitHostPort(b.address)
	number, _ := strconv.Atoi(port)
	body = put32(put32(body, 1), 0) // one broker, number 0
	body = put16(put32(putText(body, host), number), -1)
	body = put32(body, 0) // which is the controller
	topics := max(w.i32(), 0)
	body = put32(body, int(topics))
	for range topics {
		body = append(putText(put16(body, 0), w.text()), 0)
		body = put32(body, partitions)
		for i := range partitions {
			body = put32(put32(put16(body, 0), i), 0)
			body = put32(put32(put32(put32(body, 1), 0), 1), 0)
		}
	}
	return body
}

func (b *broker) initProducerID(body []byte) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.producers++
	return put16(put64(put16(put32(body, 0), 0), b.producers), 0)
}

func (b *broker) produce(body []byte, w *wire, how behaviour) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = w.i16() // no transaction
	if acks := w.i16(); acks != -1 {
		b.t.Errorf("acks %d", acks)
	}
	_ = w.i32()
	topics := w.i32()
	body = put32(body, int(topics))
	for range topics {
		topic := w.text()
		body = putText(body, topic)
		count := w.i32()
		body = put32(body, int(count))
		for range count {
			partition := w.i32()
			records := &wire{p: w.take(int(w.i32()))}
			code := topicForbidden
			if how != forbidden || topic != "evil" {
				code = b.append(topic, partition, records, how)
			}
			body = put64(put64(put64(put16(put32(body, int(partition)), code), 0), -1), 0)
		}
	}
	if w.bad {
		b.t.Errorf("a request ends before its end")
	}
	throttle := 0
	if how == throttling {
		throttle = 200
	}
	return put32(body, throttle)
}

// append checks a record batch as a broker does and stores it. It returns the code of an error.
func (b *broker) append(topic string, partition int32, w *wire, how behaviour) int {
	_, size := w.i64(), w.i32()
	if int(size) != len(w.p) {
		b.t.Errorf("a batch of %d bytes says %d", len(w.p), size)
	}
	_ = w.i32()
	if magic := w.take(1)[0]; magic != 2 {
		b.t.Errorf("magic %d", magic)
	}
	if sum := uint32(w.i32()); sum != crc32.Checksum(w.p, crc32.MakeTable(crc32.Castagnoli)) {
		return corrupt
	}
	_, last := w.i16(), w.i32()
	_, _ = w.i64(), w.i64()
	producer, _, first := w.i64(), w.i16(), w.i32()
	count := w.i32()
	if count != last+1 || producer < 1 {
		b.t.Errorf("%d records, the last is %d, of producer %d", count, last, producer)
	}
	entries, err := b.entries(w, count)
	if err != nil {
		b.t.Error(err)
	}
	switch {
	case how == tooLarge && len(entries) > few:
		return tooLargeCode
	case how == failing:
		return storage
	case how == unavailable:
		return notEnoughReplicas
	case how == throttling:
		return quotaExceeded
	case how == half && partition%2 == 0:
		return notEnoughReplicas
	case how == mute, how == garbage, how == trickling:
		return 0 // nobody will hear of it
	}
	key := topic + "/" + strconv.Itoa(int(partition))
	l := b.logs[key]
	if l == nil || l.producer != producer {
		if first != 0 {
			return outOfOrder
		}
		l = &log{producer: producer}
		b.logs[key] = l
	}
	for _, known := range l.batches {
		if known == (sequences{first, first + last}) {
			return 0 // stored before
		}
	}
	if first != l.next {
		return outOfOrder
	}
	l.next += count
	l.batches = append(l.batches, sequences{first, first + last})
	l.batches = l.batches[max(0, len(l.batches)-5):]
	for _, e := range entries {
		b.ledger.take(e)
	}
	return 0
}

func (b *broker) entries(w *wire, count int32) (all []entry, err error) {
	for range count {
		length := w.varint()
		r := &wire{p: w.take(int(length))}
		_ = r.take(1)
		_, delta := r.varint(), r.varint()
		key := string(r.take(int(r.varint())))
		var value struct{ Message string }
		err = errors.Join(err, json.Unmarshal(r.take(int(r.varint())), &value))
		e := entry{line: value.Message}
		for range r.varint() {
			name := string(r.take(int(r.varint())))
			text := string(r.take(int(r.varint())))
			if name == "remora_id" {
				e.id = text
			}
		}
		if delta != int64(len(all)) || r.bad || len(r.p) != 0 || !strings.HasPrefix(e.id, key+".") {
			err = errors.Join(err, fmt.Errorf("record %d has offset %d, key %q, id %q, %d bytes too many", len(all), delta, key, e.id, len(r.p)))
		}
		err = errors.Join(err, e.parseID(b.ledger.keys))
		all = append(all, e)
	}
	return all, err
}
