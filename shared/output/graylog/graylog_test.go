// SPDX-License-Identifier: Apache-2.0

package graylog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/record"
)

func open(t testing.TB, address string, environ ...string) *Output {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	vars := map[string]string{"GRAYLOG_HOST": host, "GRAYLOG_PORT": port}
	for i := 0; i < len(environ); i += 2 {
		vars[environ[i]] = environ[i+1]
	}
	var c Config
	require.NoError(t, settings.Load(vars, &c))
	o, err := Open(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	return o
}

// fieldName is Graylog's rule for additional fields.
var fieldName = regexp.MustCompile(`^_[\w.\-]*$`)

// accept checks a message as Graylog's GelfCodec does, and returns what is stored of it.
func accept(t *testing.T, text []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var m map[string]any
	require.NoError(t, d.Decode(&m), "%.300s", text)
	_, err := d.Token()
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, "1.1", m["version"])
	for _, name := range []string{"host", "short_message"} {
		text, ok := m[name].(string)
		require.True(t, ok && strings.TrimSpace(text) != "", "%s is %v", name, m[name])
	}
	require.IsType(t, json.Number(""), m["timestamp"])
	for name, value := range m {
		switch name {
		case "version", "host", "short_message", "timestamp", "level":
			continue
		}
		require.Regexp(t, fieldName, name)
		require.NotContains(t, []string{"_id", "_source", "_message", "_timestamp", "_level", "_full_message"}, name, "dropped")
		_, isText := value.(string)
		_, isNumber := value.(json.Number)
		require.True(t, isText || isNumber, "%s is %v, which is dropped", name, value)
	}
	return m
}

func one(line, fields string) record.Record {
	r := sample.Batch(0, 1, sample.Source(1)).Records[0]
	r.Line, r.Fields = []byte(line), []byte(fields)
	return r
}

func TestMessage(t *testing.T) {
	e := newEncoder(1 << 20)
	r := one("hello \"you\"\n\x00", `"status":200,"ok":true,"none":null,"deep":{"a":[1]},"id":7,"level":"warn","odd key":1.5,"@timestamp":"t"`)
	r.Time += 5
	m := accept(t, e.append(nil, &r))
	require.Equal(t, map[string]any{
		"version": "1.1", "host": "node-1", "short_message": "hello \"you\"\n\x00", "timestamp": json.Number("1763708400.000000005"),
		"level": json.Number("4"), "_offset": json.Number("0"), "_stream": "stdout", "_remora": string(r.AppendID(nil)), "_log_source": "stdout",
		"_team": "blue", "_docker_container": "web-1", "_container_id": "0123456789ab", "_image": "nginx:1.27",
		"_status": json.Number("200"), "_ok": "true", "_deep": `{"a":[1]}`, "_log_id": json.Number("7"),
		"_log_level": "warn", "_odd_key": json.Number("1.5"), "__timestamp": "t",
	}, m)
	for _, blank := range []string{"", " \t"} {
		r = one(blank, "")
		r.Std = record.Stderr
		m = accept(t, e.append(nil, &r))
		require.Equal(t, "-", m["short_message"])
		require.Equal(t, json.Number("3"), m["level"], "stderr")
	}
	r.Line, r.Fields = nil, []byte(`"a":1`)
	m = accept(t, e.append(nil, &r))
	require.Equal(t, `{"a":1}`, m["short_message"])
	require.Equal(t, json.Number("1"), m["_a"])
}

// Whatever is too much, the message stays within its size, says so, and is one.
func TestSize(t *testing.T) {
	const most = 2000
	e := newEncoder(most)
	for _, line := range []string{strings.Repeat("ü", 3000), strings.Repeat("x", 5000), strings.Repeat("\x01", 3000), strings.Repeat("\xff", 3000), strings.Repeat("日", 900)} {
		for _, fields := range []string{"", `"long":"` + strings.Repeat("]", 2000) + `"`, strings.Repeat(`"k":"v",`, 500) + `"k":"v"`} {
			r := one(line, fields)
			got := e.append([]byte("before"), &r)[6:]
			require.LessOrEqual(t, len(got), most)
			m := accept(t, got)
			require.Equal(t, "true", m["_truncated"])
			require.Greater(t, len(got), most-most/8)
		}
	}
	r := one("", `"a":"`+strings.Repeat("b", 5000)+`"`)
	r.Line = nil
	require.LessOrEqual(t, len(e.append(nil, &r)), most)
}

// receive puts the messages of a socket together, as Graylog does.
func receive(t *testing.T, l net.PacketConn, n int) (all [][]byte) {
	chunks := map[string][][]byte{}
	p := make([]byte, 65536)
	for len(all) < n {
		_ = l.SetReadDeadline(time.Now().Add(5 * time.Second))
		k, _, err := l.ReadFrom(p)
		require.NoError(t, err)
		message := bytes.Clone(p[:k])
		if bytes.HasPrefix(message, []byte{0x1e, 0x0f}) {
			id, total := string(message[2:10]), int(message[11])
			require.LessOrEqual(t, total, maxChunks)
			chunks[id] = append(chunks[id], message[12:])
			require.Equal(t, len(chunks[id])-1, int(message[10]), "in order, on this machine")
			if len(chunks[id]) < total {
				continue
			}
			message = bytes.Join(chunks[id], nil)
		}
		if bytes.HasPrefix(message, []byte{0x1f, 0x8b}) {
			z, err := gzip.NewReader(bytes.NewReader(message))
			require.NoError(t, err)
			message, err = io.ReadAll(z)
			require.NoError(t, err)
		}
		all = append(all, message)
	}
	return all
}

func TestUDP(t *testing.T) {
	for _, compression := range []string{"gzip", "none"} {
		l, err := net.ListenPacket("udp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		o := open(t, l.LocalAddr().String(), "GRAYLOG_COMPRESSION", compression, "GRAYLOG_CHUNK_SIZE", "200")
		b := sample.Batch(0, 5, sample.Source(1))
		b.Records[3].Line = bytes.Repeat([]byte("no datagram holds this, "), 100_000)
		require.NoError(t, o.Write(t.Context(), b))
		for i, message := range receive(t, l, 5) {
			m := accept(t, message)
			if i == 3 {
				require.Equal(t, "true", m["_truncated"])
				require.LessOrEqual(t, len(message), maxChunks*(200-chunkHeader))
			} else {
				require.Equal(t, sample.Line(i), m["short_message"])
			}
		}
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	o := open(t, l.Addr().String(), "GRAYLOG_PROTOCOL", "tcp")
	b := sample.Batch(0, 3, sample.Source(1))
	b.Records[1].Line = []byte("a\x00b\nc")
	require.NoError(t, o.Write(t.Context(), b))
	c, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, o.Close())
	content, err := io.ReadAll(c)
	require.NoError(t, err)
	messages := bytes.Split(bytes.TrimSuffix(content, []byte{0}), []byte{0})
	require.Len(t, messages, 3)
	require.Equal(t, "a\x00b\nc", accept(t, messages[1])["short_message"])
}

func TestHTTP(t *testing.T) {
	for _, bulk := range []string{"false", "true"} {
		requests, messages, status := 0, 0, http.StatusAccepted
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			z, err := gzip.NewReader(r.Body)
			require.NoError(t, err)
			body, _ := io.ReadAll(z)
			requests++
			if status == http.StatusAccepted && r.URL.Path == "/gelf" {
				for text := range bytes.SplitSeq(body, []byte("\n")) {
					accept(t, text)
					messages++
				}
				if messages == 6 {
					status = http.StatusServiceUnavailable
				}
			}
			w.WriteHeader(status)
		}))
		u, _ := url.Parse(s.URL)
		o := open(t, u.Host, "GRAYLOG_PROTOCOL", "http", "GRAYLOG_HTTP_BULK", bulk)
		err := o.Write(t.Context(), sample.Batch(0, 9, sample.Source(1)))
		s.Close()
		if bulk == "true" {
			require.NoError(t, err)
			require.Equal(t, 1, requests)
			continue
		}
		var partial *output.Partial // the sixth was answered 503
		require.ErrorAs(t, err, &partial)
		require.Equal(t, []int{5, 6, 7, 8}, partial.Retry)
		require.Equal(t, 6, requests)
	}
}

func TestWrongSettings(t *testing.T) {
	for name, value := range map[string]string{
		"GRAYLOG_HOST": "", "GRAYLOG_PORT": "0", "GRAYLOG_PROTOCOL": "gelf", "GRAYLOG_COMPRESSION": "zlib", "GRAYLOG_CHUNK_SIZE": "9000",
		"GRAYLOG_MAX_SIZE": "5", "GRAYLOG_RESEND": "-1s", "GRAYLOG_TIMEOUT": "0s", "GRAYLOG_CA": "/x",
	} {
		vars := map[string]string{"GRAYLOG_HOST": "h"}
		vars[name] = value
		require.ErrorContains(t, settings.Load(vars, new(Config)), name)
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	b := sample.Batch(0, 1000, sample.Source(1), sample.Source(2))
	for i := range b.Records {
		b.Records[i].Fields = []byte(`"status":200,"path":"/x\"y","ok":true`)
	}
	e := newEncoder(1 << 20)
	var dst []byte
	run := func() {
		dst = dst[:0]
		for i := range b.Records {
			dst = e.append(dst, &b.Records[i])
		}
	}
	run()
	require.Zero(t, testing.AllocsPerRun(20, run))
}

// A message that is sent again must not be mixed with the one that was sent before.
func TestChunksHaveRandomIDs(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	o := open(t, l.LocalAddr().String(), "GRAYLOG_COMPRESSION", "none", "GRAYLOG_CHUNK_SIZE", "300")
	ids := map[uint64]int{}
	p := make([]byte, 65536)
	for range 3 {
		require.NoError(t, o.Write(t.Context(), sample.Batch(0, 1, sample.Source(1))))
		for range 2 {
			_ = l.SetReadDeadline(time.Now().Add(5 * time.Second))
			_, _, err := l.ReadFrom(p)
			require.NoError(t, err)
			ids[binary.BigEndian.Uint64(p[2:])]++
		}
	}
	require.Len(t, ids, 3)
}

func BenchmarkEncode(b *testing.B) {
	batch := sample.Batch(0, 10_000, sample.Source(1))
	e := newEncoder(1 << 20)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = dst[:0]
		for i := range batch.Records {
			dst = e.append(dst, &batch.Records[i])
		}
	}
	b.SetBytes(int64(len(dst)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Records)), "ns/record")
}
