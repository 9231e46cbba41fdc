// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// kafkaLoopBody is the approximate size of a request of Kafka's loop: of 256 KiB to 4 MiB the one that costs it least.
const kafkaLoopBody = 512 << 10

// preparedRequest is a produce request that can be sent any number of times: it has no producer, so no sequence has to be
// counted.
type preparedRequest struct {
	bytes   []byte
	records int
}

// prepareRequest returns a request for a partition, with records like Remora's.
func prepareRequest(partition int32) preparedRequest {
	record := kmsg.NewRecord()
	record.Key = []byte("0123456789abcdef")
	record.Value = []byte(kernelRecord[len(kernelAction):])
	record.Headers = []kmsg.Header{{Key: "remora_id", Value: []byte("0123456789abcdef.01234567")}}
	batch := kmsg.NewRecordBatch()
	batch.PartitionLeaderEpoch, batch.Magic, batch.ProducerID, batch.ProducerEpoch, batch.FirstSequence = -1, 2, -1, -1, -1
	for ; len(batch.Records) < kafkaLoopBody; batch.NumRecords++ {
		record.OffsetDelta = batch.NumRecords
		record.Length = 0
		record.Length = int32(len(record.AppendTo(nil)) - 1) // without the length itself, which is one byte so far
		batch.Records = record.AppendTo(batch.Records)
	}
	batch.LastOffsetDelta = batch.NumRecords - 1
	const uncounted, unchecked = 12, 21 // bytes before those that the length and the checksum cover
	p := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(p[8:], uint32(len(p)-uncounted))
	binary.BigEndian.PutUint32(p[17:], crc32.Checksum(p[unchecked:], crc32.MakeTable(crc32.Castagnoli)))

	to := kmsg.NewProduceRequestTopicPartition()
	to.Partition, to.Records = partition, p
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.Partitions = topic, []kmsg.ProduceRequestTopicPartition{to}
	request := kmsg.NewPtrProduceRequest()
	request.Version, request.Acks, request.TimeoutMillis = kafkaLoopVersion, -1, 10_000
	request.Topics = []kmsg.ProduceRequestTopic{t}
	return preparedRequest{kmsg.NewRequestFormatter(kmsg.FormatterClientID("loop")).AppendRequest(nil, request, 0), int(batch.NumRecords)}
}

// kafkaLoopVersion is the version of the loop's produce requests.
const kafkaLoopVersion = 9

// runKafkaLoop reads the files that match pattern and produces at least size bytes, and less than a request more, to the
// broker at address in even shares, with requests made in advance. It does nothing else. It sends a request when the one
// before is answered.
func runKafkaLoop(pattern, address string, size int64) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	var requests [partitions]preparedRequest
	for i := range requests {
		requests[i] = prepareRequest(int32(i))
	}
	answers, next, sent := bufio.NewReader(conn), 0, int64(0)
	return readInShares(pattern, size, func(due int64, last bool) error {
		for due-sent >= int64(len(requests[0].bytes)) || last && sent < size {
			p := requests[next%partitions].bytes
			if err := exchange(conn, answers, p); err != nil {
				return err
			}
			next, sent = next+1, sent+int64(len(p))
		}
		return nil
	})
}

// exchange sends a produce request and expects success.
func exchange(conn net.Conn, answers *bufio.Reader, request []byte) error {
	if _, err := conn.Write(request); err != nil {
		return err
	}
	var head [4]byte
	if _, err := io.ReadFull(answers, head[:]); err != nil {
		return err
	}
	answer := make([]byte, min(binary.BigEndian.Uint32(head[:]), 1<<16))
	if _, err := io.ReadFull(answers, answer); err != nil {
		return err
	}
	const header = 4 + 1 // the request's number, and no tags
	response := kmsg.NewPtrProduceResponse()
	response.Version = kafkaLoopVersion
	if len(answer) < header {
		return io.ErrUnexpectedEOF
	}
	if err := response.ReadFrom(answer[header:]); err != nil {
		return err
	}
	for _, t := range response.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return err
			}
		}
	}
	return nil
}

// kafkaLoopCommand starts Kafka's loop with as many bytes as Remora has written in this round.
func kafkaLoopCommand(_ string, j *job) (*exec.Cmd, error) {
	if !j.kafka || j.written == 0 {
		return nil, fmt.Errorf("%w: it produces to Kafka what Remora has before", errNoPart)
	}
	self, err := os.Executable()
	return exec.Command(self, "kafka", j.file, fmt.Sprintf("127.0.0.1:%d", j.port), fmt.Sprint(j.written)), err
}

// arrivedFromLoop waits until the broker has all that Kafka's loop produces.
func arrivedFromLoop(ctx context.Context, j *job, stall time.Duration) (stats, error) {
	request, of := prepareRequest(0), *j
	of.lines = int((j.written+int64(len(request.bytes))-1)/int64(len(request.bytes))) * request.records
	return arrivedInKafka(ctx, &of, stall)
}
