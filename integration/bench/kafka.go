package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/IBM/sarama"
)

// partitions is how many the topic has, and how many files the input of a Kafka job is split into: a file's lines keep
// their order, so they go to one partition.
const partitions = 8

const topic = "bench"

// startBroker starts kfake, which has to be built beside the other binaries, and keeps the records in its memory.
func startBroker(j *job) (*exec.Cmd, error) {
	cmd := exec.Command(filepath.Join(j.bins, "kfake"), fmt.Sprintf("-port=%d", j.port), fmt.Sprintf("-topic=%s:%d", topic, partitions))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w (go build -C integration/backends/kfake -o ../../../bin/kfake .)", err)
	}
	for range 100 {
		if n, err := offsets(j); err == nil && n == 0 {
			return cmd, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	_ = cmd.Process.Kill()
	return nil, fmt.Errorf("kfake on port %d does not answer", j.port)
}

// offsets is how many records the topic has in all its partitions.
func offsets(j *job) (sum int64, err error) {
	cfg := sarama.NewConfig()
	cfg.Version = sarama.V2_8_0_0
	client, err := sarama.NewClient([]string{fmt.Sprintf("127.0.0.1:%d", j.port)}, cfg)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	for p := range int32(partitions) {
		n, err := client.GetOffset(topic, p, sarama.OffsetNewest)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// arrivedInKafka waits until the topic has as many records as there are lines. More than that would be lines that were
// sent twice in spite of idempotence.
func arrivedInKafka(j *job, limit time.Duration) (s stats, err error) {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		n, err := offsets(j)
		if err != nil {
			return s, err
		}
		if s.Lines = int(n); s.Lines >= j.lines {
			s.Last, s.Again = time.Now(), s.Lines-j.lines
			return s, nil
		}
	}
	return s, fmt.Errorf("only %d of %d records are in the topic after %v", s.Lines, j.lines, limit)
}

// split writes the input as one file for each partition and returns the pattern that finds them.
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
