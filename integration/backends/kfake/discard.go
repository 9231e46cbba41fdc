// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// discarding is a broker that checks what it is given as Kafka does (checksums, counts and sequence numbers), counts it
// and throws it away: for measuring who sends. kfake takes memory for each request and hands it from one goroutine to the
// next, which takes twice the CPU time of Remora, so that it was kfake that was measured.
type discarding struct {
	port int32

	mu        sync.Mutex
	topics    map[string][]*appended // by partition
	producers int64                  // how many ids were handed out
}

// appended is what a partition was given.
type appended struct {
	records   int64
	producers map[int64]*history
}

// history is what a partition had from a producer: the last batches, the newest last.
type history struct {
	epoch   int16
	batches []sequenced
}

type sequenced struct{ first, count int32 }

// remembered is how many batches of a producer Kafka recognises when they come again.
const remembered = 5

// versions are those of each request that are understood.
var versions = map[int16]struct{ least, most int16 }{
	int16(kmsg.Produce): {3, 12}, int16(kmsg.ListOffsets): {1, 7}, int16(kmsg.Metadata): {1, 9},
	int16(kmsg.ApiVersions): {0, 3}, int16(kmsg.InitProducerID): {0, 4},
}

// serve answers on l until that is closed.
func (d *discarding) serve(l net.Listener) error {
	d.port = int32(l.Addr().(*net.TCPAddr).Port)
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			if err := d.converse(conn); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				log.Printf("a client's connection: %v", err)
			}
		}()
	}
}

// maxRequest is how long a request may be: socket.request.max.bytes of Kafka.
const maxRequest = 100 << 20

// converse answers a connection's requests one after the other, from one piece of memory.
func (d *discarding) converse(conn net.Conn) error {
	request, answer := make([]byte, 1<<20), []byte(nil)
	for {
		if _, err := io.ReadFull(conn, request[:4]); err != nil {
			return err
		}
		size := int(binary.BigEndian.Uint32(request))
		if size > maxRequest {
			return fmt.Errorf("a request of %d bytes", size)
		}
		if size > len(request) {
			request = make([]byte, size)
		}
		if _, err := io.ReadFull(conn, request[:size]); err != nil {
			return err
		}
		response, number, err := d.answer(request[:size])
		if err != nil {
			return err
		}
		if response == nil {
			continue
		}
		answer = append(answer[:0], 0, 0, 0, 0)
		answer = kbin.AppendInt32(answer, number)
		if response.IsFlexible() && response.Key() != int16(kmsg.ApiVersions) {
			answer = append(answer, 0) // no tags
		}
		answer = response.AppendTo(answer)
		binary.BigEndian.PutUint32(answer, uint32(len(answer)-4))
		if _, err := conn.Write(answer); err != nil {
			return err
		}
	}
}

// answer returns the answer to p, and the request's number; no answer where none is wanted.
func (d *discarding) answer(p []byte) (response kmsg.Response, number int32, err error) {
	r := kbin.Reader{Src: p}
	key, version := r.Int16(), r.Int16()
	number = r.Int32()
	r.UnsafeNullableString() // who asks
	known, ok := versions[key]
	request := kmsg.RequestForKey(key)
	if !ok || request == nil {
		return nil, 0, fmt.Errorf("a request of kind %d", key)
	}
	if version < known.least || version > known.most {
		if key != int16(kmsg.ApiVersions) {
			return nil, 0, fmt.Errorf("version %d of %s", version, kmsg.NameForKey(key))
		}
		unsupported := describe()
		unsupported.ErrorCode = kerr.UnsupportedVersion.Code
		return unsupported, number, nil
	}
	request.SetVersion(version)
	if request.IsFlexible() {
		kmsg.SkipTags(&r)
	}
	if unsafe, ok := request.(kmsg.UnsafeReadFrom); ok { // p is ours until the answer is written
		err = unsafe.UnsafeReadFrom(r.Src)
	} else {
		err = request.ReadFrom(r.Src)
	}
	if err = errors.Join(r.Complete(), err); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", kmsg.NameForKey(key), err)
	}
	response = d.respond(request)
	if response != nil {
		response.SetVersion(version)
	}
	return response, number, nil
}

func (d *discarding) respond(request kmsg.Request) kmsg.Response {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch request := request.(type) {
	case *kmsg.ApiVersionsRequest:
		return describe()
	case *kmsg.MetadataRequest:
		return d.metadata(request)
	case *kmsg.InitProducerIDRequest:
		d.producers++
		response := kmsg.NewPtrInitProducerIDResponse()
		response.ProducerID = d.producers
		return response
	case *kmsg.ListOffsetsRequest:
		return d.offsets(request)
	case *kmsg.ProduceRequest:
		if response := d.produce(request); request.Acks != 0 {
			return response
		}
	}
	return nil
}

// describe says what is understood.
func describe() *kmsg.ApiVersionsResponse {
	response := kmsg.NewPtrApiVersionsResponse()
	for key, v := range versions {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = key, v.least, v.most
		response.ApiKeys = append(response.ApiKeys, k)
	}
	return response
}

func (d *discarding) metadata(request *kmsg.MetadataRequest) *kmsg.MetadataResponse {
	response := kmsg.NewPtrMetadataResponse()
	broker := kmsg.NewMetadataResponseBroker()
	broker.Host, broker.Port = "127.0.0.1", d.port
	response.Brokers = append(response.Brokers, broker)
	for _, asked := range request.Topics {
		t := kmsg.NewMetadataResponseTopic()
		t.Topic = asked.Topic
		if asked.Topic == nil || d.topics[*asked.Topic] == nil {
			t.ErrorCode = kerr.UnknownTopicOrPartition.Code
		} else {
			for i := range d.topics[*asked.Topic] {
				p := kmsg.NewMetadataResponseTopicPartition()
				p.Partition, p.Replicas, p.ISR = int32(i), []int32{0}, []int32{0}
				t.Partitions = append(t.Partitions, p)
			}
		}
		response.Topics = append(response.Topics, t)
	}
	return response
}

func (d *discarding) partition(topic string, id int32) *appended {
	if p := d.topics[topic]; id >= 0 && int(id) < len(p) {
		return p[id]
	}
	return nil
}

// offsets says how many records there were, whichever offset is asked for.
func (d *discarding) offsets(request *kmsg.ListOffsetsRequest) *kmsg.ListOffsetsResponse {
	response := kmsg.NewPtrListOffsetsResponse()
	for _, asked := range request.Topics {
		t := kmsg.NewListOffsetsResponseTopic()
		t.Topic = asked.Topic
		for _, a := range asked.Partitions {
			p := kmsg.NewListOffsetsResponseTopicPartition()
			p.Partition = a.Partition
			if had := d.partition(asked.Topic, a.Partition); had == nil {
				p.ErrorCode = kerr.UnknownTopicOrPartition.Code
			} else {
				p.Offset = had.records
			}
			t.Partitions = append(t.Partitions, p)
		}
		response.Topics = append(response.Topics, t)
	}
	return response
}

func (d *discarding) produce(request *kmsg.ProduceRequest) *kmsg.ProduceResponse {
	response := kmsg.NewPtrProduceResponse()
	for _, given := range request.Topics {
		t := kmsg.NewProduceResponseTopic()
		t.Topic = given.Topic
		for _, g := range given.Partitions {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition = g.Partition
			had := d.partition(given.Topic, g.Partition)
			err := kerr.UnknownTopicOrPartition
			if had != nil {
				p.BaseOffset = had.records
				err = had.take(g.Records)
			}
			if err != nil {
				p.ErrorCode = err.Code
			}
			t.Partitions = append(t.Partitions, p)
		}
		response.Topics = append(response.Topics, t)
	}
	return response
}

// A record batch's header, version 2: see kafka.apache.org/documentation/#recordbatch.
const (
	headerBytes = 61

	atLength    = 8
	atMagic     = 16
	atChecksum  = 17
	atCodec     = 21
	atLast      = 23
	atProducer  = 43
	atProdEpoch = 51
	atSequence  = 53
	atCount     = 57
)

var (
	noBatch    = make([]byte, 8) // the offset of a batch that no broker has seen
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// take checks a record batch and counts its records. One that came before is not counted again.
func (a *appended) take(p []byte) *kerr.Error {
	be := binary.BigEndian
	if len(p) < headerBytes || !bytes.Equal(p[:8], noBatch) || int(be.Uint32(p[atLength:])) != len(p)-atLength-4 || p[atMagic] != 2 ||
		be.Uint32(p[atChecksum:]) != crc32.Checksum(p[atCodec:], castagnoli) {
		return kerr.CorruptMessage
	}
	count := int32(be.Uint32(p[atCount:]))
	if count < 1 || be.Uint32(p[atLast:]) != uint32(count-1) || p[atCodec+1]&7 == 0 && records(p[headerBytes:]) != int(count) {
		return kerr.InvalidRecord
	}
	if id := int64(be.Uint64(p[atProducer:])); id >= 0 {
		h := a.producers[id]
		if h == nil {
			h = new(history)
			a.producers[id] = h
		}
		again, err := h.note(int16(be.Uint16(p[atProdEpoch:])), sequenced{int32(be.Uint32(p[atSequence:])), count})
		if again || err != nil {
			return err
		}
	}
	a.records += int64(count)
	return nil
}

// records counts the records in p, each of which has its length in front; -1 where one does not end in p.
func records(p []byte) (n int) {
	for ; len(p) > 0; n++ {
		length, size := binary.Varint(p)
		if size <= 0 || length < 0 || length > int64(len(p)-size) {
			return -1
		}
		p = p[size+int(length):]
	}
	return n
}

// note reports whether the batch came before, which is no error. One that does not follow the last is.
func (h *history) note(epoch int16, s sequenced) (again bool, err *kerr.Error) {
	if epoch < h.epoch {
		return false, kerr.InvalidProducerEpoch
	}
	if epoch > h.epoch {
		*h = history{epoch: epoch}
	}
	next := int32(0)
	for _, b := range h.batches {
		if b == s {
			return true, nil
		}
		next = int32((int64(b.first) + int64(b.count)) & 0x7fffffff)
	}
	if s.first != next {
		return false, kerr.OutOfOrderSequenceNumber
	}
	if len(h.batches) == remembered {
		h.batches = append(h.batches[:0], h.batches[1:]...)
	}
	h.batches = append(h.batches, s)
	return false, nil
}
