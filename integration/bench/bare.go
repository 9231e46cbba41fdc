// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// bare is the yardstick: a loop that does only what cannot be left out - read, split, escape, add an identity and five tags,
// send in bulk - and nothing else that makes a collector. It shares no code with Remora.
func bare(path, url string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	client := &http.Client{Transport: &http.Transport{WriteBufferSize: 128 << 10}}
	const tags = `","stream":"stdout","docker_app":"shop","docker_service":"web","docker_container":"shop_web_1","host":"node-1","image":"nginx:1.27"}` + "\n"
	buf := make([]byte, 1<<20)
	body := make([]byte, 0, 5<<20)
	held, offset := 0, 0
	for {
		n, err := f.Read(buf[held:])
		data := buf[:held+n]
		if n == 0 {
			break
		}
		if err != nil {
			return err
		}
		stamp := time.Now().UTC().AppendFormat(nil, time.RFC3339Nano)
		for {
			end := bytes.IndexByte(data, '\n')
			if end < 0 {
				break
			}
			body = append(body, `{"create":{"_id":"0123456789abcdef.`...)
			body = strconv.AppendInt(body, int64(offset), 36)
			body = append(body, "\"}}\n{\"@timestamp\":\""...)
			body = append(body, stamp...)
			body = append(body, `","message":"`...)
			body = escape(body, data[:end])
			body = append(body, tags...)
			data, offset = data[end+1:], offset+end+1
		}
		held = copy(buf, data)
		if len(body) > 4<<20 {
			if err := post(client, url, body); err != nil {
				return err
			}
			body = body[:0]
		}
	}
	return post(client, url, body)
}

// escape appends line, escaped. It copies runs without quotes and backslashes at once.
func escape(dst, line []byte) []byte {
	for {
		quote := bytes.IndexByte(line, '"')
		run := line
		if quote >= 0 {
			run = line[:quote]
		}
		for {
			slash := bytes.IndexByte(run, '\\')
			if slash < 0 {
				break
			}
			dst = append(append(dst, run[:slash]...), '\\', '\\')
			run = run[slash+1:]
		}
		dst = append(dst, run...)
		if quote < 0 {
			return dst
		}
		dst = append(dst, '\\', '"')
		line = line[quote+1:]
	}
}

func post(client *http.Client, url string, body []byte) error {
	resp, err := client.Post(url, "application/x-ndjson", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte(`"errors":false`)) {
		return fmt.Errorf("%s: %.200s", resp.Status, answer)
	}
	return nil
}
