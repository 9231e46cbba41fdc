// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// The kernel's loop reads kernelRead bytes at a time and sends kernelBody in a request, like a batch of Remora's. Of sizes
// from 64 KiB to 8 MiB these cost least.
const (
	kernelRead = 64 << 10
	kernelBody = 4 << 20
)

// kernelRecord is repeated in the body, so that the server has as much work as with Remora's: a faster server wakes the sender
// less often.
const kernelRecord = kernelAction + `{"@timestamp":"2026-11-21T08:00:00.000000000Z","message":"10.1.0.0 - - [21/Nov/2026:08:00:00 +0000] \"GET /no_0000000000 HTTP/1.1\" 200 0 \"-\" \"Mozilla/5.0 (X11; Linux x86_64)                                                                                \"","offset":123456789,"source":"/var/log/bench.log","k8s_pod":"shop-web-1","k8s_pod_namespace":"shop","k8s_node_name":"node-1","k8s_container_name":"web"}
`

// kernelAction is the action before a record in a bulk request.
const kernelAction = `{"create":{"_id":"0123456789abcdef.01234567"}}` + "\n"

// runKernelLoop reads the files that match pattern and writes size bytes to the server at address in even shares, and does
// nothing else. It measures what the kernel alone costs for a collector's work, and shares no code with Remora.
func runKernelLoop(pattern, address string, size int64) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	answers, body := bufio.NewReader(conn), bytes.Repeat([]byte(kernelRecord), kernelBody/len(kernelRecord)+1)[:kernelBody]
	sent := int64(0)
	return readInShares(pattern, size, func(due int64, last bool) error {
		for due-sent >= kernelBody || last && sent < size {
			part := body[:min(kernelBody, size-sent)]
			if err := discard(conn, answers, part); err != nil {
				return err
			}
			sent += int64(len(part))
		}
		return nil
	})
}

// readInShares reads the files that match pattern, kernelRead bytes at a time. After each read it calls send with the number
// of size bytes that are due, and whether it was the last.
func readInShares(pattern string, size int64, send func(due int64, last bool) error) error {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	input := int64(0)
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		input += info.Size()
	}
	in, read := make([]byte, kernelRead), int64(0)
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		for {
			n, err := f.Read(in)
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				read += int64(n)
				err = send(int64(float64(size)*float64(read)/float64(input)), read == input)
			}
			if err != nil {
				_ = f.Close()
				return err
			}
		}
		_ = f.Close()
	}
	return nil
}

// discard posts body to the server, which reads and discards it.
func discard(conn net.Conn, answers *bufio.Reader, body []byte) error {
	if _, err := fmt.Fprintf(conn, "POST /discard HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n", len(body)); err != nil {
		return err
	}
	if _, err := conn.Write(body); err != nil {
		return err
	}
	answer, err := http.ReadResponse(answers, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}

// discard is the server's side of the kernel's loop.
func (s *server) discard(w http.ResponseWriter, r *http.Request) {
	s.receive(w, r, func(body []byte) {
		s.count(body, func(body []byte, line func(int)) {
			documents(body, func(doc []byte) { line(number(doc)) })
		})
		s.mu.Lock()
		defer s.mu.Unlock()
		s.last = time.Now()
	})
}

// kernelCommand starts the kernel's loop with as many bytes as Remora has written in this round.
func kernelCommand(_ string, j *job) (*exec.Cmd, error) {
	if j.written == 0 {
		return nil, fmt.Errorf("%w: it writes what Remora has written before", errNoPart)
	}
	self, err := os.Executable()
	return exec.Command(self, "kernel", j.file, fmt.Sprintf("127.0.0.1:%d", j.port), fmt.Sprint(j.written)), err
}

// arrivedBytes waits until the server has received all that the kernel's loop writes, as long as ctx allows and more arrives.
func arrivedBytes(ctx context.Context, j *job, stall time.Duration) (s stats, err error) {
	last, before := time.Now(), int64(0)
	for s.Bytes < j.written {
		time.Sleep(50 * time.Millisecond)
		if s, err = j.stats(); err != nil {
			return s, err
		}
		if s.Bytes > before {
			before, last = s.Bytes, time.Now()
		}
		if s.Bytes < j.written && (ctx.Err() != nil || time.Since(last) > stall) {
			return s, fmt.Errorf("%w, after %d of %d bytes", cmp.Or(context.Cause(ctx), errUnfinished), s.Bytes, j.written)
		}
	}
	return s, nil
}
