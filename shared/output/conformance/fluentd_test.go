// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bufio"
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/klauspost/compress/gzip"
)

var fluentd = protocol{
	name: "fluentd",
	not:  withoutHTTP,
	environ: func(address, ca, timeout string) map[string]string {
		environ := map[string]string{
			"FLUENTD_ADDRESS": address, "FLUENTD_ACK_TIMEOUT": timeout + "ms", "FLUENTD_SHARED_KEY": secret,
			"FLUENTD_SELF_HOSTNAME": "node-1", "FLUENTD_USERNAME": "remora", "FLUENTD_PASSWORD": secret, "FLUENTD_COMPRESSION": "gzip",
		}
		if ca != "" {
			environ["FLUENTD_TLS"], environ["FLUENTD_CA"] = "true", ca
		}
		return environ
	},
	start: (&exchange{
		hello:  forwardHello,
		read:   forwardMessage,
		taken:  func(chunk any) []byte { return packString([]byte("\x81\xa3ack"), chunk.(string)) },
		failed: func(any) []byte { return nil },
	}).serve,
}

func sha(parts ...string) string {
	h := sha512.New()
	for _, p := range parts {
		_, _ = io.WriteString(h, p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func packString(dst []byte, s string) []byte {
	return append(append(dst, 0xd9, byte(len(s))), s...)
}

// forwardHello asks who is there, as Fluentd does with a shared key and users.
func forwardHello(c net.Conn, in *bufio.Reader, allowed bool) bool {
	helo := packString([]byte("\x92\xa4HELO\x83\xa5nonce"), "some nonce")
	helo = append(packString(append(helo, "\xa4auth"...), "some salt"), "\xa9keepalive\xc3"...)
	if _, err := c.Write(helo); err != nil {
		return false
	}
	v, err := unpack(in)
	ping, _ := v.([]any)
	if err != nil || len(ping) != 6 || ping[0] != "PING" {
		return false
	}
	self, salt := ping[1].(string), ping[2].(string)
	known := allowed && ping[3] == sha(salt, self, "some nonce", secret) && ping[4] == "remora" &&
		ping[5] == sha("some salt", "remora", secret)
	pong := []byte("\x95\xa4PONG\xc2")
	if known {
		pong[len(pong)-1] = 0xc3
	}
	pong = packString(packString(packString(pong, "no"), "server"), sha(salt, "server", "some nonce", secret))
	_, err = c.Write(pong)
	return err == nil && known
}

func forwardMessage(in *bufio.Reader) (all []entry, state any, err error) {
	v, err := unpack(in)
	if err != nil {
		return nil, nil, err
	}
	m, _ := v.([]any)
	if len(m) != 3 || m[0] != "web" && m[0] != "evil" {
		return nil, nil, fmt.Errorf("message %.100v", v)
	}
	options := m[2].(map[string]any)
	z, err := gzip.NewReader(bytes.NewReader([]byte(m[1].(string))))
	if err != nil || options["compressed"] != "gzip" {
		return nil, nil, fmt.Errorf("%w %v", err, options)
	}
	entries := bufio.NewReader(z)
	for {
		v, err := unpack(entries)
		if errors.Is(err, io.EOF) {
			break
		}
		e, _ := v.([]any)
		if err != nil || len(e) != 2 {
			return nil, nil, fmt.Errorf("%w %v", err, v)
		}
		r := e[1].(map[string]any)
		id, _ := r["remora"].(string)
		line, _ := r["message"].(string)
		all = append(all, entry{id: id, line: line})
	}
	if options["size"] != int64(len(all)) {
		return nil, nil, fmt.Errorf("%d entries, size %v", len(all), options["size"])
	}
	return all, options["chunk"], nil
}

// unpack reads a value of MessagePack. It is written for these tests, apart from what the output uses.
func unpack(in *bufio.Reader) (any, error) {
	c, err := in.ReadByte()
	if err != nil {
		return nil, err
	}
	number := func(width int) int64 {
		var p [8]byte
		_, _ = io.ReadFull(in, p[8-width:])
		return int64(binary.BigEndian.Uint64(p[:]))
	}
	text := func(n int64) (any, error) {
		p := make([]byte, n&0xffffff)
		_, err := io.ReadFull(in, p)
		return string(p), err
	}
	list := func(n int64) (any, error) {
		all := []any{}
		for range n {
			v, err := unpack(in)
			if err != nil {
				return nil, err
			}
			all = append(all, v)
		}
		return all, nil
	}
	object := func(n int64) (any, error) {
		all := map[string]any{}
		for range n {
			k, err := unpack(in)
			if err != nil {
				return nil, err
			}
			v, err := unpack(in)
			if err != nil {
				return nil, err
			}
			all[k.(string)] = v
		}
		return all, nil
	}
	switch {
	case c < 0x80:
		return int64(c), nil
	case c < 0x90:
		return object(int64(c & 15))
	case c < 0xa0:
		return list(int64(c & 15))
	case c < 0xc0:
		return text(int64(c & 31))
	}
	switch c {
	case 0xc2, 0xc3:
		return c == 0xc3, nil
	case 0xd7:
		return number(1)<<32 | number(8), nil
	case 0xd3:
		return number(8), nil
	case 0xd9:
		return text(number(1))
	case 0xda:
		return text(number(2))
	case 0xdb:
		return text(number(4))
	case 0xdd:
		return list(number(4))
	case 0xdf:
		return object(number(4))
	}
	return nil, fmt.Errorf("byte %x", c)
}
