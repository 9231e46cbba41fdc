// SPDX-License-Identifier: Apache-2.0

package logstash

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/output/settings"
)

// start serves connections by f, one after the other.
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
			f(c)
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

func open(t testing.TB, address string, environ ...string) *Output {
	t.Helper()
	vars := map[string]string{"LOGSTASH_HOSTS": address, "LOGSTASH_COMPRESSION_LEVEL": "0"}
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

// window reads an uncompressed window and returns its events.
func window(c net.Conn) (events []string) {
	var head [6]byte
	if _, err := io.ReadFull(c, head[:]); err != nil || head[1] != 'W' {
		return nil
	}
	for range binary.BigEndian.Uint32(head[2:]) {
		var frame [10]byte
		_, _ = io.ReadFull(c, frame[:])
		text := make([]byte, binary.BigEndian.Uint32(frame[6:])&0xffffff)
		_, _ = io.ReadFull(c, text)
		events = append(events, string(text))
	}
	return events
}

func acknowledge(c net.Conn, n int) {
	_, _ = c.Write(binary.BigEndian.AppendUint32([]byte("2A"), uint32(n)))
}

// A server whose queue is full says for minutes that it lives, without reading.
func TestServerThatIsBusyIsWaitedFor(t *testing.T) {
	address := start(t, func(c net.Conn) {
		for range 8 {
			time.Sleep(50 * time.Millisecond)
			acknowledge(c, 0)
		}
		for events := window(c); len(events) > 0; events = window(c) {
			acknowledge(c, len(events))
		}
	})
	b := sample.Batch(0, 20_000, sample.Source(1)) // more than sockets hold
	require.NoError(t, open(t, address, "LOGSTASH_TIMEOUT", "200ms").Write(t.Context(), b))
}

func TestServerThatIsSilentIsNot(t *testing.T) {
	address := start(t, func(c net.Conn) { time.Sleep(time.Second) })
	err := open(t, address, "LOGSTASH_TIMEOUT", "50ms").Write(t.Context(), sample.Batch(0, 20_000, sample.Source(1)))
	require.ErrorContains(t, err, address+": no answer within 50ms")
}

func TestWhatWasAcknowledgedIsTaken(t *testing.T) {
	address := start(t, func(c net.Conn) {
		acknowledge(c, len(window(c)))
		window(c)
		acknowledge(c, 3)
	})
	var partial *output.Partial
	require.ErrorAs(t, open(t, address, "LOGSTASH_BULK_MAX_SIZE", "10").Write(t.Context(), sample.Batch(0, 25, sample.Source(1))), &partial)
	require.Equal(t, []int{13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24}, partial.Retry)
}

func TestAnswersThatMakeNoSense(t *testing.T) {
	for _, said := range []string{"HTTP/1.1 400 Bad Request\r\n\r\n", "2A\x00\x00\x00\xff", "1A\x00\x00\x00\x01", "2A\xff\xff\xff\xff"} {
		address := start(t, func(c net.Conn) { window(c); _, _ = io.WriteString(c, said); _, _ = io.Copy(io.Discard, c) })
		require.ErrorContains(t, open(t, address).Write(t.Context(), sample.Batch(0, 3, sample.Source(1))), "lumberjack")
	}
}

// The server closes the connection over an event that it can't take: its source waits, others do not.
func TestPoisonousEventHoldsBackItsSourceAlone(t *testing.T) {
	stored := 0
	address := start(t, func(c net.Conn) {
		for events := window(c); len(events) > 0; events = window(c) {
			for _, e := range events {
				if strings.Contains(e, "poison") {
					return
				}
			}
			stored += len(events)
			acknowledge(c, len(events))
		}
	})
	o := open(t, address)
	b := sample.Batch(0, 2, sample.Source(1), sample.Source(2), sample.Source(3))
	b.Records[4].Fields = []byte(`"x":"poison"`)
	require.ErrorAs(t, o.Write(t.Context(), b), new(*web.Suspect))
	var partial *output.Partial
	require.ErrorAs(t, o.Write(t.Context(), b), &partial)
	require.Empty(t, partial.Retry)
	require.Equal(t, 1, partial.Blocked[0].Index)
	require.Equal(t, string(o.AppendDestination(nil, &b.Records[4])), partial.Blocked[1].Destination)
	require.Equal(t, 4, stored)
}

func TestWrongSettings(t *testing.T) {
	for name, value := range map[string]string{
		"LOGSTASH_HOST": "", "LOGSTASH_PORT": "0", "LOGSTASH_HOSTS": "a", "LOGSTASH_WORKER": "99", "LOGSTASH_BULK_MAX_SIZE": "3000",
		"LOGSTASH_COMPRESSION_LEVEL": "10", "LOGSTASH_TTL": "0s", "LOGSTASH_TIMEOUT": "0s", "LOGSTASH_CA": "/x",
	} {
		vars := map[string]string{"LOGSTASH_HOST": "h"}
		vars[name] = value
		require.ErrorContains(t, settings.Load(vars, new(Config)), name)
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	b := sample.Batch(0, 1000, sample.Source(1), sample.Source(2))
	for _, level := range []int{0, 3} {
		e := newEncoder("filebeat", level)
		run := func() {
			if _, err := e.window(b.Records); err != nil {
				t.Error(err)
			}
		}
		run()
		require.Zero(t, testing.AllocsPerRun(20, run))
	}
}

func BenchmarkEncode(b *testing.B) {
	batch := sample.Batch(0, 10_000, sample.Source(1))
	e := newEncoder("filebeat", 0)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = e.window(batch.Records)
	}
	b.SetBytes(int64(len(e.out)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Records)), "ns/record")
}
