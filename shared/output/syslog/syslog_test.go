// SPDX-License-Identifier: Apache-2.0

package syslog

import (
	"bufio"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/record"
)

func config(t testing.TB, environ ...string) *Config {
	t.Helper()
	vars := map[string]string{"SYSLOG_HOST": "127.0.0.1"}
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

func encode(t testing.TB, r record.Record, environ ...string) string {
	t.Helper()
	c := config(t, environ...)
	e, err := newEncoder(c)
	require.NoError(t, err)
	return string(e.encode(&r, c.MaxSize))
}

func one(line, fields string) record.Record {
	r := sample.Batch(0, 1, sample.Source(1)).Records[0]
	r.Line, r.Fields = []byte(line), []byte(fields)
	return r
}

func TestRFC5424(t *testing.T) {
	r := one("hello\nworld", `"status":200,"user ] name":"a\"]\\b","level":"warn"`)
	require.Equal(t, `<12>1 2025-11-21T07:00:00.000000Z node-1 web - access [remora@32473 id="`+string(r.AppendID(nil))+
		`" stream="stdout" source="stdout" team="blue" docker_container="web-1" host="node-1" container_id="0123456789ab" image="nginx:1.27"`+
		` status="200" user___name="a\"\]\\b" level="warn"] hello`+"\nworld", encode(t, r))

	require.True(t, strings.HasPrefix(encode(t, r, "SYSLOG_FACILITY", "local7", "SYSLOG_SEVERITY", "notice"), "<189>1 "))
	r = one("x", "")
	r.Std = record.Stderr
	require.True(t, strings.HasPrefix(encode(t, r), "<11>1 "), "stderr is an error")
	r.Line, r.Fields = nil, []byte(`"a":1`)
	require.True(t, strings.HasSuffix(encode(t, r), `"] {"a":1}`), "a line that was taken apart")
	require.Contains(t, encode(t, r, "SYSLOG_TAG", "{docker_container}/{nothing}"), " node-1 web-1/ - access [")
	require.Contains(t, encode(t, r, "SYSLOG_TAG", strings.Repeat("ä x", 30)), " node-1 "+strings.Repeat("___x", 12)+" - ")
}

func TestRFC3164(t *testing.T) {
	r := one("hello", `"a":1`)
	stamp := time.Unix(0, r.Time).Format("Jan _2 15:04:05")
	require.Equal(t, "<14>"+stamp+" node-1 web: hello", encode(t, r, "SYSLOG_FORMAT", "rfc3164"))
}

// Whatever is too much, the message stays within its size, says so, and ends with a whole character.
func TestSize(t *testing.T) {
	for _, fields := range []string{"", `"long":"` + strings.Repeat("]", 2000) + `"`, strings.Repeat(`"k":"v",`, 500) + `"k":"v"`} {
		for n := range 20 {
			got := encode(t, one(strings.Repeat("ü", 1000+n)+"x", fields), "SYSLOG_MAX_SIZE", "1000")
			require.LessOrEqual(t, len(got), 1000)
			require.Greater(t, len(got), 990)
			require.True(t, utf8.ValidString(got))
			require.Contains(t, got, ` truncated="true"] üü`)
		}
	}
	got := encode(t, one(strings.Repeat("\x80", 3000), ""), "SYSLOG_MAX_SIZE", "1000")
	require.LessOrEqual(t, len(got), 1000)
	many := make([]record.Tag, 300)
	for i := range many {
		many[i] = record.Tag{Key: "tag" + strconv.Itoa(i), Value: strings.Repeat("v", 100)}
	}
	r := one("short", "")
	r.Source = record.NewSource("k", "d", "p", "t", many, nil)
	got = encode(t, r, "SYSLOG_MAX_SIZE", "1000")
	require.True(t, strings.HasSuffix(got, "] short"), "tags without end leave the line its place")
}

func TestUDP(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.LocalAddr().String())
	o := open(t, "SYSLOG_PORT", port)
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 20, sample.Source(1))))
	p := make([]byte, 65536)
	for i := range 20 {
		_ = l.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, _, err := l.ReadFrom(p)
		require.NoError(t, err)
		require.True(t, strings.HasSuffix(string(p[:n]), "] "+sample.Line(i)))
	}
}

// That nobody listens is learnt from the answer to a datagram.
func TestUDPNobodyListens(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, _ := net.SplitHostPort(l.LocalAddr().String())
	require.NoError(t, l.Close())
	o := open(t, "SYSLOG_PORT", port)
	err = o.Write(t.Context(), sample.Batch(0, 1000, sample.Source(1)))
	require.ErrorContains(t, err, "127.0.0.1:"+port)
}

func accept(t *testing.T) (port string, conns <-chan net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	c := make(chan net.Conn, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			c <- conn
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port, c
}

func TestTCPFraming(t *testing.T) {
	port, conns := accept(t)
	b := sample.Batch(0, 2, sample.Source(1))
	b.Records[0].Line = []byte("two\nlines")

	require.NoError(t, open(t, "SYSLOG_PORT", port, "SYSLOG_PROTOCOL", "tcp").Write(t.Context(), b))
	in := bufio.NewReader(<-conns)
	for _, want := range []string{"two\nlines", sample.Line(1)} {
		length, err := in.ReadString(' ')
		require.NoError(t, err)
		n, err := strconv.Atoi(strings.TrimSpace(length))
		require.NoError(t, err)
		message := make([]byte, n)
		_, err = io.ReadFull(in, message)
		require.NoError(t, err)
		require.True(t, strings.HasSuffix(string(message), "] "+want), "%s", message)
	}

	require.NoError(t, open(t, "SYSLOG_PORT", port, "SYSLOG_PROTOCOL", "tcp", "SYSLOG_FRAMING", "lf").Write(t.Context(), b))
	in = bufio.NewReader(<-conns)
	for _, want := range []string{"two#012lines\n", sample.Line(1) + "\n"} {
		line, err := in.ReadString('\n')
		require.NoError(t, err)
		require.True(t, strings.HasSuffix(line, "] "+want), line)
	}
}

// What was acknowledged before the connection broke is not sent again.
func TestRELPTellsWhatWasTaken(t *testing.T) {
	port, conns := accept(t)
	go func() {
		c := <-conns
		in := bufio.NewReader(c)
		_, _ = in.ReadString(' ')
		_, _ = io.WriteString(c, "1 rsp 22 200 OK\ncommands=syslog\n")
		_ = c.Close()
	}()
	o := open(t, "SYSLOG_PORT", port, "SYSLOG_PROTOCOL", "relp")
	require.Error(t, o.Write(t.Context(), sample.Batch(0, 3, sample.Source(1))))

	go func() {
		c := <-conns
		for _, answer := range []string{"0 hint 0\n", "1 rsp 22 200 OK\ncommands=syslog\n", "2 rsp 6 200 OK\n3 rsp 6 200 OK\n", "4 rsp 6 500 no\n"} {
			time.Sleep(10 * time.Millisecond)
			_, _ = io.WriteString(c, answer)
		}
	}()
	err := o.Write(t.Context(), sample.Batch(0, 4, sample.Source(1)))
	var partial *output.Partial
	require.ErrorAs(t, err, &partial)
	require.Equal(t, []int{2, 3}, partial.Retry)
	require.ErrorContains(t, err, "500 no")
}

func TestWrongSettings(t *testing.T) {
	for name, value := range map[string]string{
		"SYSLOG_HOST": "", "SYSLOG_PORT": "70000", "SYSLOG_PROTOCOL": "sctp", "SYSLOG_FORMAT": "json", "SYSLOG_FRAMING": "nul",
		"SYSLOG_FACILITY": "local8", "SYSLOG_SEVERITY": "bad", "SYSLOG_TAG": "{", "SYSLOG_MAX_SIZE": "66000", "SYSLOG_RESEND": "-1s",
		"SYSLOG_TIMEOUT": "0s",
	} {
		vars := map[string]string{"SYSLOG_HOST": "h", name: value}
		require.ErrorContains(t, settings.Load(vars, new(Config)), name)
	}
	_, err := Open(*config(t, "SYSLOG_CA", "/x"))
	require.ErrorContains(t, err, "SYSLOG_PROTOCOL")
	require.Equal(t, "[::1]:6514", config(t, "SYSLOG_HOST", "::1", "SYSLOG_PROTOCOL", "tls").address())
}

func TestEncodingAllocatesNothing(t *testing.T) {
	b := sample.Batch(0, 100, sample.Source(1), sample.Source(2))
	for i := range b.Records {
		b.Records[i].Fields = []byte(`"status":200,"path":"/x\"y","level":"info"`)
	}
	for _, format := range []string{"rfc5424", "rfc3164"} {
		e, err := newEncoder(config(t, "SYSLOG_FORMAT", format))
		require.NoError(t, err)
		s := &stream{max: 65536, octets: true}
		var dst []byte
		run := func() {
			dst = dst[:0]
			for i := range b.Records {
				dst = s.append(dst, e, &b.Records[i])
			}
		}
		run()
		require.Zero(t, testing.AllocsPerRun(20, run))
	}
}

func BenchmarkEncode(b *testing.B) {
	batch := sample.Batch(0, 10_000, sample.Source(1))
	e, _ := newEncoder(config(b))
	s := &stream{max: 65536, octets: true}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = dst[:0]
		for i := range batch.Records {
			dst = s.append(dst, e, &batch.Records[i])
		}
	}
	b.SetBytes(int64(len(dst)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Records)), "ns/record")
}
