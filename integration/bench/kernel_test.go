// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The kernel's loop writes as many bytes as it is told, whatever the files' sizes are.
func TestKernelLoopWritesWhatItIsTold(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int{"a.log": 3*kernelRead + 1, "b.log": 17} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range []int64{1, kernelBody, 2*kernelBody + 12345} {
		s := &server{seen: newSeen(1)}
		server := httptest.NewServer(http.HandlerFunc(s.discard))
		err := runKernelLoop(filepath.Join(dir, "*.log"), server.Listener.Addr().String(), size)
		server.Close()
		if err != nil || s.bytes != size || s.last.IsZero() {
			t.Errorf("%d of %d bytes: %v", s.bytes, size, err)
		}
	}
}

// Kafka's loop waits for each answer, produces what it is told and less than a request more, and ends when a broker says no.
func TestKafkaLoopProducesWhatItIsTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.log")
	if err := os.WriteFile(file, make([]byte, 3*kernelRead), 0o600); err != nil {
		t.Fatal(err)
	}
	request := prepareRequest(0)
	for _, code := range []int16{0, kerr.CorruptMessage.Code} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		had := make(chan int, 1)
		go func() { had <- answerProduces(t, l, code) }()
		err = runKafkaLoop(file, l.Addr().String(), int64(2*len(request.bytes)+1))
		_ = l.Close()
		want := 3
		if code != 0 {
			want = 1
		}
		if n := <-had; n != want || (err == nil) != (code == 0) {
			t.Errorf("code %d: %d requests, %v", code, n, err)
		}
	}
}

// answerProduces answers one connection's produce requests with a code, and returns how many there were.
func answerProduces(t *testing.T, l net.Listener, code int16) (n int) {
	conn, err := l.Accept()
	if err != nil {
		return 0
	}
	defer conn.Close()
	for {
		var size [4]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return n
		}
		p := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(conn, p); err != nil {
			return n
		}
		n++
		const header = 2 + 2 + 4 + 2 + len("loop") + 1
		request := kmsg.NewPtrProduceRequest()
		request.Version = kafkaLoopVersion
		if err := request.ReadFrom(p[header:]); err != nil {
			t.Error(err)
			return n
		}
		var batch kmsg.RecordBatch
		if err := batch.ReadFrom(request.Topics[0].Partitions[0].Records); err != nil {
			t.Error(err)
		}
		for records, i := batch.Records, int32(0); len(records) > 0; i++ {
			length, width := binary.Varint(records)
			var r kmsg.Record
			if err := r.ReadFrom(records[:width+int(length)]); err != nil || r.OffsetDelta != i {
				t.Error(i, err)
				return n
			}
			records = records[width+int(length):]
		}
		response := request.ResponseKind().(*kmsg.ProduceResponse)
		response.Topics = []kmsg.ProduceResponseTopic{{Topic: topic, Partitions: []kmsg.ProduceResponseTopicPartition{{ErrorCode: code}}}}
		answer := response.AppendTo(make([]byte, 4+4+1))
		binary.BigEndian.PutUint32(answer, uint32(len(answer)-4))
		if _, err := conn.Write(answer); err != nil {
			return n
		}
	}
}
