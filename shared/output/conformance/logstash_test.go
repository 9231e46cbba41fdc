// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/klauspost/compress/zlib"
)

var logstash = protocol{
	name: "logstash",
	not:  append([]behaviour{unauthorized}, withoutHTTP...),
	environ: func(address, ca, timeout string) map[string]string {
		host, port, _ := net.SplitHostPort(address)
		environ := map[string]string{
			"LOGSTASH_HOST": host, "LOGSTASH_PORT": port, "LOGSTASH_TIMEOUT": timeout + "ms", "LOGSTASH_BULK_MAX_SIZE": "300",
		}
		if ca != "" {
			environ["LOGSTASH_TLS"], environ["LOGSTASH_CA"] = "true", ca
		}
		return environ
	},
	start: (&exchange{
		read:   lumberjackWindow,
		taken:  func(n any) []byte { return lumberjackAck(0, n.(int)) },
		failed: func(any) []byte { return nil },
	}).serve,
}

// lumberjackAck says that the server lives, and then that it has taken n events, in two steps.
func lumberjackAck(zero, n int) (p []byte) {
	for _, k := range []int{zero, n / 2, n} {
		p = binary.BigEndian.AppendUint32(append(p, '2', 'A'), uint32(k))
	}
	return p
}

// isMarker reports whether an identity is that of a record that Remora wrote itself, whose field remora says what it is.
func isMarker(id string) bool { return strings.HasSuffix(id, "!") }

// lumberjackWindow reads a window and its events.
func lumberjackWindow(in *bufio.Reader) (all []entry, state any, err error) {
	var head [6]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, nil, err
	}
	if head[0] != '2' || head[1] != 'W' {
		return nil, nil, fmt.Errorf("frame %q", head)
	}
	n := int(binary.BigEndian.Uint32(head[2:]))
	frames := in
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, nil, err
	}
	if head[1] == 'C' {
		packed := make([]byte, binary.BigEndian.Uint32(head[2:])&0xffffff)
		if _, err := io.ReadFull(in, packed); err != nil {
			return nil, nil, err
		}
		z, err := zlib.NewReader(bytes.NewReader(packed))
		if err != nil {
			return nil, nil, err
		}
		frames = bufio.NewReader(z)
		if _, err := io.ReadFull(frames, head[:]); err != nil {
			return nil, nil, err
		}
	}
	for seq := 1; ; seq++ {
		if head[1] != 'J' || binary.BigEndian.Uint32(head[2:]) != uint32(seq) {
			return nil, nil, fmt.Errorf("event %d: %q", seq, head)
		}
		var size [4]byte
		if _, err := io.ReadFull(frames, size[:]); err != nil {
			return nil, nil, err
		}
		text := make([]byte, binary.BigEndian.Uint32(size[:])&0xffffff)
		if _, err := io.ReadFull(frames, text); err != nil {
			return nil, nil, err
		}
		e, err := identified(text)
		var meta struct {
			Metadata struct {
				Beat, Version string
				ID            string `json:"_id"`
			} `json:"@metadata"`
		}
		if err := errors.Join(err, json.Unmarshal(text, &meta)); err != nil || !isMarker(meta.Metadata.ID) && meta.Metadata.ID != e.id || meta.Metadata.Beat != "filebeat" {
			return nil, nil, fmt.Errorf("%w %s", err, text)
		}
		if all = append(all, e); len(all) == n {
			return all, n, nil
		}
		if _, err := io.ReadFull(frames, head[:]); err != nil {
			return nil, nil, err
		}
	}
}
