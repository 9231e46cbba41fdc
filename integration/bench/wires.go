// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
)

// wires are the protocols other than HTTP. Each function reads what a collector sends on a connection until it fails, counts
// the lines, and acknowledges them if the protocol has acknowledgements.
var wires = map[string]func(s *server, c net.Conn) error{
	"graylog":  streamed, // messages that end with NUL
	"syslog":   streamed, // messages after their length
	"redis":    redis,
	"logstash": lumberjack,
	"fluentd":  forward,
}

// serveWire accepts connections of a protocol until the listener fails.
func (s *server) serveWire(l net.Listener, read func(*server, net.Conn) error) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_ = read(s, c) // the connection ended; missing lines are noticed
		}()
	}
}

const numbered = len(marker) + 10

// streamed counts the lines of a stream without acknowledgements.
func streamed(s *server, c net.Conn) error {
	buf := make([]byte, 256<<10)
	held := 0
	for {
		n, err := c.Read(buf[held:])
		if err != nil {
			return err
		}
		data := buf[:held+n]
		end := max(len(data)-numbered+1, 0) // a number that begins after it may not be whole
		s.count(data, func(data []byte, line func(int)) {
			for {
				at := bytes.Index(data, []byte(marker))
				if at < 0 || len(data)-at < numbered {
					return
				}
				line(number(data[at:]))
				data = data[at+numbered:]
			}
		})
		if at := bytes.LastIndex(data, []byte(marker)); at >= 0 && at < end {
			end = max(end, at+numbered)
		}
		held = copy(buf, data[end:])
	}
}

// redis answers commands, each argument of which may be a line.
func redis(s *server, c net.Conn) error {
	in, out := bufio.NewReaderSize(c, 256<<10), bufio.NewWriter(c)
	var arg []byte
	for {
		words, err := respNumber(in, '*')
		if err != nil {
			return err
		}
		for range words {
			size, err := respNumber(in, '$')
			if err != nil {
				return err
			}
			arg = slices.Grow(arg[:0], size+2)[:size+2]
			if _, err := io.ReadFull(in, arg); err != nil {
				return err
			}
			s.count(arg, marks)
		}
		if words > 2 {
			_, _ = out.WriteString(":1\r\n") // Flush returns the error
		} else {
			_, _ = out.WriteString("+OK\r\n")
		}
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}

func respNumber(in *bufio.Reader, kind byte) (int, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 4 || line[0] != kind {
		return 0, fmt.Errorf("%q where %c is due", line, kind)
	}
	return strconv.Atoi(string(line[1 : len(line)-2]))
}

// lumberjack receives windows of uncompressed events, and acknowledges each.
func lumberjack(s *server, c net.Conn) error {
	in := bufio.NewReaderSize(c, 256<<10)
	var head [6]byte
	var event []byte
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return err
		}
		if head[1] != 'W' {
			return fmt.Errorf("frame %q where a window is due", head)
		}
		events := binary.BigEndian.Uint32(head[2:])
		for range events {
			var h [10]byte
			if _, err := io.ReadFull(in, h[:]); err != nil {
				return err
			}
			if h[1] != 'J' {
				return fmt.Errorf("frame %q where an event is due", h)
			}
			size := int(binary.BigEndian.Uint32(h[6:]))
			event = slices.Grow(event[:0], size)[:size]
			if _, err := io.ReadFull(in, event); err != nil {
				return err
			}
			s.count(event, marks)
		}
		if _, err := c.Write(binary.BigEndian.AppendUint32([]byte("2A"), events)); err != nil {
			return err
		}
	}
}

// forward receives Fluentd's messages in PackedForward mode: a tag, entries, and options, whose chunk it acknowledges.
func forward(s *server, c net.Conn) error {
	in := bufio.NewReaderSize(c, 256<<10)
	for {
		if kind, err := in.ReadByte(); err != nil || kind != 0x93 {
			return errors.Join(err, fmt.Errorf("%#x where a message of three is due", kind))
		}
		if _, err := msgpackBytes(in); err != nil {
			return err
		}
		entries, err := msgpackBytes(in)
		if err != nil {
			return err
		}
		s.count(entries, marks)
		options, err := in.ReadByte()
		if err != nil || options&0xf0 != 0x80 {
			return errors.Join(err, fmt.Errorf("%#x where options are due", options))
		}
		for range options & 0x0f {
			key, err := msgpackBytes(in)
			if err != nil {
				return err
			}
			value, err := msgpackBytes(in)
			if err != nil {
				return err
			}
			if string(key) == "chunk" {
				ack := append([]byte("\x81\xa3ack\xd9"), byte(len(value)))
				if _, err := c.Write(append(ack, value...)); err != nil {
					return err
				}
			}
		}
	}
}

// msgpackBytes reads a string, bytes, or the encoded bytes of an integer.
func msgpackBytes(in *bufio.Reader) ([]byte, error) {
	kind, err := in.ReadByte()
	if err != nil {
		return nil, err
	}
	width := 0 // of the length
	switch {
	case kind < 0x80 || kind >= 0xe0: // an integer of one byte
		return []byte{kind}, nil
	case kind&0xe0 == 0xa0:
		return msgpackRead(in, int(kind&0x1f))
	case 0xcc <= kind && kind <= 0xcf: // a longer one, unsigned
		return msgpackRead(in, 1<<(kind-0xcc))
	case 0xd0 <= kind && kind <= 0xd3: // signed
		return msgpackRead(in, 1<<(kind-0xd0))
	case kind == 0xd9, kind == 0xc4:
		width = 1
	case kind == 0xda, kind == 0xc5:
		width = 2
	case kind == 0xdb, kind == 0xc6:
		width = 4
	default:
		return nil, fmt.Errorf("MessagePack of type %#x", kind)
	}
	var size [4]byte
	if _, err := io.ReadFull(in, size[4-width:]); err != nil {
		return nil, err
	}
	return msgpackRead(in, int(binary.BigEndian.Uint32(size[:])))
}

func msgpackRead(in *bufio.Reader, size int) ([]byte, error) {
	p := make([]byte, size)
	_, err := io.ReadFull(in, p)
	return p, err
}

// splunk is the event endpoint of Splunk's HTTP event collector.
func (s *server) splunk(w http.ResponseWriter, r *http.Request) {
	s.receive(w, r, func(body []byte) {
		s.count(body, marks)
		fmt.Fprint(w, `{"text":"Success","code":0}`)
	})
}

// sls is PutLogs of Aliyun's log service, whose body is protobuf.
func (s *server) sls(w http.ResponseWriter, r *http.Request) {
	s.receive(w, r, func(body []byte) {
		s.count(body, marks)
		w.Header().Set("x-log-requestid", "1")
	})
}
