// SPDX-License-Identifier: Apache-2.0

package fluentd

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/output/settings"
)

func config(t testing.TB, environ ...string) *Config {
	t.Helper()
	vars := map[string]string{"FLUENTD_ADDRESS": "127.0.0.1:1"}
	for i := 0; i < len(environ); i += 2 {
		vars[environ[i]] = environ[i+1]
	}
	c := new(Config)
	require.NoError(t, settings.Load(vars, c))
	return c
}

func open(t testing.TB, environ ...string) *Output {
	t.Helper()
	o, err := Open(*config(t, environ...))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	return o
}

// start serves connections by f.
func start(t *testing.T, f func(c net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			go func() { f(c); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

// JSON of every kind, as bytes of the specification.
func TestValues(t *testing.T) {
	for json, want := range map[string]string{
		`null`: "\xc0", `true`: "\xc3", `7`: "\x07", `-1`: "\xd3\xff\xff\xff\xff\xff\xff\xff\xff", `1.5`: "\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00",
		`1e3`: "\xcb\x40\x8f\x40\x00\x00\x00\x00\x00", `18446744073709551615`: "\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
		`99999999999999999999`: "\xb499999999999999999999", `"a\n\u00fc"`: "\xa4a\n\xc3\xbc", `[]`: "\xdd\x00\x00\x00\x00",
		`[1, {"a":[true]}]`: "\xdd\x00\x00\x00\x02\x01\xdf\x00\x00\x00\x01\xa1a\xdd\x00\x00\x00\x01\xc3",
		`{"x": "]"}`:        "\xdf\x00\x00\x00\x01\xa1x\xa1]",
	} {
		got, _ := appendJSON(nil, []byte(json), nil, 0)
		require.Equal(t, want, string(got), json)
	}
	require.Equal(t, "\xdb\x00\x00\x00\x05a\xef\xbf\xbdb", string(appendText(nil, []byte("a\xffb"))))
	deep := append(bytes.Repeat([]byte("["), 5000), bytes.Repeat([]byte("]"), 5000)...)
	got, _ := appendJSON(nil, deep, nil, 0)
	require.Equal(t, maxDepth, bytes.Count(got, []byte{0xdd}))
	require.Contains(t, string(got), "[[[[", "what lies too deep is text")
}

func TestStrings(t *testing.T) {
	for n, head := range map[int]string{0: "\xa0", 31: "\xbf", 32: "\xd9\x20", 255: "\xd9\xff", 256: "\xda\x01\x00", 1 << 16: "\xdb\x00\x01\x00\x00"} {
		got := appendString(nil, string(make([]byte, n)))
		require.Equal(t, head, string(got[:len(head)]), n)
		v, err := readValue(bufio.NewReader(bytes.NewReader(got)), 1)
		if n <= maxAnswer {
			require.NoError(t, err)
			require.Len(t, v, n)
		}
	}
}

// What was acknowledged is taken, in whatever order, and what was not comes again.
func TestAcknowledgements(t *testing.T) {
	address := start(t, func(c net.Conn) {
		in := bufio.NewReader(c)
		var chunks []string
		for len(chunks) < 3 {
			v, err := readMessage(in)
			if err != nil {
				return
			}
			chunks = append(chunks, v)
		}
		for _, k := range []int{2, 0} {
			_, _ = c.Write(appendString([]byte("\x81\xa3ack"), chunks[k]))
		}
	})
	o := open(t, "FLUENTD_ADDRESS", address, "FLUENTD_TAG", "x.{docker_container}")
	b := sample.Batch(0, 2, sample.Source(1), sample.Source(2), sample.Source(3))
	var partial *output.Partial
	require.ErrorAs(t, o.Write(t.Context(), b), &partial)
	require.Equal(t, []int{1, 4}, partial.Retry)
	require.Equal(t, "tag x.web-1", string(o.AppendDestination(nil, &b.Records[0])))
}

// readMessage reads a message of one of the tests, and returns its chunk.
func readMessage(in *bufio.Reader) (string, error) {
	if _, err := in.ReadByte(); err != nil { // the array
		return "", err
	}
	if _, err := readValue(in, 1); err != nil {
		return "", err
	}
	head := make([]byte, 5)
	if _, err := io.ReadFull(in, head); err != nil {
		return "", err
	}
	n := int(head[1])<<24 | int(head[2])<<16 | int(head[3])<<8 | int(head[4])
	if _, err := in.Discard(n); err != nil {
		return "", err
	}
	v, err := readValue(in, 2)
	if err != nil {
		return "", err
	}
	chunk, _ := v.(map[string]any)["chunk"].(string)
	return chunk, nil
}

// A late acknowledgement must not be taken for that of the next message: the connection is left.
func TestLateAcknowledgement(t *testing.T) {
	var conns atomic.Int32
	address := start(t, func(c net.Conn) {
		if conns.Add(1) == 1 {
			time.Sleep(200 * time.Millisecond)
			return
		}
		chunk, _ := readMessage(bufio.NewReader(c))
		_, _ = c.Write(appendString([]byte("\x81\xa3ack"), chunk))
		time.Sleep(time.Second)
	})
	o := open(t, "FLUENTD_ADDRESS", address, "FLUENTD_ACK_TIMEOUT", "100ms")
	require.ErrorContains(t, o.Write(t.Context(), sample.Batch(0, 1, sample.Source(1))), "no answer within 100ms")
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 1, sample.Source(1))))
}

func TestServersThatAreNone(t *testing.T) {
	for said, want := range map[string]string{
		"\x92\xa4HELO\x80":             "FLUENTD_SHARED_KEY is not set",
		"HTTP/1.1 400 Bad Request\r\n": "not one of the forward protocol",
		"\x81\xa3ack\xa3not":           "acknowledgement of something else",
		"\xdb\xff\xff\xff\xff":         "not one of the forward protocol",
		"\x91\x91\x91\x91\x91\x91":     "not one of the forward protocol",
	} {
		address := start(t, func(c net.Conn) { _, _ = io.WriteString(c, said); _, _ = io.Copy(io.Discard, c) })
		require.ErrorContains(t, open(t, "FLUENTD_ADDRESS", address).Write(t.Context(), sample.Batch(0, 1, sample.Source(1))), want)
	}
}

// A server that does not know the shared key either is not sent anything.
func TestServerHasToProveItself(t *testing.T) {
	address := start(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "\x92\xa4HELO\x82\xa5nonce\xa1n\xa4auth\xa0")
		v, _ := readValue(bufio.NewReader(c), 2)
		ping, _ := v.([]any)
		pong := append(appendArray(nil, 5), "\xa4PONG\xc3\xa0\xa1s"...)
		_, _ = c.Write(appendString(pong, digest(ping[2].(string), "s", "n", "another key")))
		_, _ = io.Copy(io.Discard, c)
	})
	o := open(t, "FLUENTD_ADDRESS", address, "FLUENTD_SHARED_KEY", "hunter2")
	err := o.Write(t.Context(), sample.Batch(0, 1, sample.Source(1)))
	require.ErrorContains(t, err, "does not know the shared key")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestWithoutAcknowledgements(t *testing.T) {
	got := make(chan string, 1)
	address := start(t, func(c net.Conn) {
		chunk, err := readMessage(bufio.NewReader(c))
		if err == nil {
			got <- chunk
		}
	})
	require.NoError(t, open(t, "FLUENTD_ADDRESS", address, "FLUENTD_ACK", "false").Write(t.Context(), sample.Batch(0, 5, sample.Source(1))))
	require.Empty(t, <-got)
}

func TestSettings(t *testing.T) {
	require.Equal(t, []string{"h:24224", "h:1", "[::1]:24224", "unix:/run/x"},
		config(t, "FLUENTD_ADDRESS", "h, tcp://h:1,[::1],unix:///run/x").Addresses)
	require.True(t, config(t, "FLUENTD_ADDRESS", "tls://h").TLS)
	for name, value := range map[string]string{
		"FLUENTD_ADDRESS": "udp://h", "FLUENTD_TAG": "{", "FLUENTD_ACK_TIMEOUT": "0s", "FLUENTD_COMPRESSION": "zstd", "FLUENTD_USERNAME": "u",
		"FLUENTD_CA": "/x",
	} {
		vars := map[string]string{"FLUENTD_ADDRESS": "h"}
		vars[name] = value
		require.ErrorContains(t, settings.Load(vars, new(Config)), name)
	}
	require.ErrorContains(t, settings.Load(nil, new(Config)), "FLUENTD_ADDRESS")
}

func FuzzReadValue(f *testing.F) {
	f.Add([]byte("\x92\xa4HELO\x82\xa5nonce\xa1n\xa4auth\xa0"))
	f.Fuzz(func(t *testing.T, p []byte) { _, _ = readValue(bufio.NewReader(bytes.NewReader(p)), 3) })
}

func TestEncodingAllocatesNothing(t *testing.T) {
	b := sample.Batch(0, 1000, sample.Source(1), sample.Source(2))
	for i := range b.Records {
		b.Records[i].Fields = []byte(`"status":200,"path":"/x\"y","ratio":0.5,"nested":{"a":[1,"b",null]}`)
	}
	e := newEncoder(config(t))
	run := func() {
		e.entries = e.entries[:0]
		for i := range b.Records {
			e.entries = e.appendEntry(e.entries, &b.Records[i])
		}
	}
	run()
	require.Zero(t, testing.AllocsPerRun(20, run))
}

func BenchmarkEncode(b *testing.B) {
	batch := sample.Batch(0, 10_000, sample.Source(1))
	e := newEncoder(config(b))
	b.ReportAllocs()
	for b.Loop() {
		e.entries = e.entries[:0]
		for i := range batch.Records {
			e.entries = e.appendEntry(e.entries, &batch.Records[i])
		}
	}
	b.SetBytes(int64(len(e.entries)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Records)), "ns/record")
}
