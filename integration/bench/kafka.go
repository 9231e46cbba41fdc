// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// partitions is the number of the topic's partitions, and of the files into which the input of a Kafka job is split: the lines
// of a file keep their order, so they go to one partition.
const partitions = 8

const topic = "bench"

// startBroker starts kfake, which must be built next to the other binaries. It checks sequence numbers, counts the records and
// discards them: keeping them in memory took so much of two cores that the broker's speed was measured.
func startBroker(j *job) (*exec.Cmd, error) {
	cmd := exec.Command(filepath.Join(j.bins, "kfake"), fmt.Sprintf("-port=%d", j.port), fmt.Sprintf("-topic=%s:%d", topic, partitions), "-discard")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w (go build -C integration/backends/kfake -o ../../../bin/kfake .)", err)
	}
	for range 100 {
		client, err := connect(j)
		if err != nil {
			break
		}
		n, err := offsets(client)
		client.Close()
		if err == nil && n == 0 {
			return cmd, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	_ = cmd.Process.Kill()
	return nil, fmt.Errorf("kfake on port %d does not answer", j.port)
}

func connect(j *job) (*kgo.Client, error) {
	return kgo.NewClient(kgo.SeedBrokers(fmt.Sprintf("127.0.0.1:%d", j.port)))
}

// offsets returns the number of records in all partitions of the topic.
func offsets(client *kgo.Client) (sum int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request := kmsg.NewPtrListOffsetsRequest()
	request.Topics = []kmsg.ListOffsetsRequestTopic{kmsg.NewListOffsetsRequestTopic()}
	request.Topics[0].Topic = topic
	for p := range int32(partitions) {
		newest := kmsg.NewListOffsetsRequestTopicPartition()
		newest.Partition, newest.Timestamp = p, -1
		request.Topics[0].Partitions = append(request.Topics[0].Partitions, newest)
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return 0, err
	}
	for _, t := range response.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return 0, err
			}
			sum += p.Offset
		}
	}
	return sum, nil
}

// arrivedInKafka waits until the topic has as many records as there are lines, as long as ctx allows and new ones arrive. More
// would be lines that were sent twice in spite of idempotence.
func arrivedInKafka(ctx context.Context, j *job, stall time.Duration) (s stats, err error) {
	client, err := connect(j)
	if err != nil {
		return s, err
	}
	defer client.Close()
	for s.Last = time.Now(); ; time.Sleep(20 * time.Millisecond) {
		n, err := offsets(client)
		if err != nil {
			return s, err
		}
		if int(n) > s.Lines {
			s.Lines, s.Last = int(n), time.Now()
		}
		switch {
		case s.Lines >= j.lines:
			s.Again = s.Lines - j.lines
			return s, nil
		case ctx.Err() != nil:
			return s, fmt.Errorf("%w, after %d of %d records", context.Cause(ctx), s.Lines, j.lines)
		case time.Since(s.Last) > stall:
			return s, fmt.Errorf("%w: no new record for %v, after %d of %d", errUnfinished, stall, s.Lines, j.lines)
		}
	}
}

// split writes the input as one file per partition and returns the pattern that matches them.
func split(j *job) (string, error) {
	dir := filepath.Join(j.bins, "bench-"+j.kind)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for p := range partitions {
		if err := write(filepath.Join(dir, fmt.Sprintf("%d.log", p)), j.kind, j.lines/partitions); err != nil {
			return "", err
		}
	}
	j.lines = j.lines / partitions * partitions
	return filepath.Join(dir, "*.log"), nil
}
