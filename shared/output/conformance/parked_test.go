// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/output/registry"
	"github.com/remora-logs/remora/shared/park"
	"github.com/remora-logs/remora/shared/record"
)

// tapped is a connection of which the server notes what the client says.
type tapped struct {
	net.Conn
	server *server
	number int
}

func (c *tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.server.mu.Lock()
	heard := *c.server.heard
	heard[c.number] = append(heard[c.number], p[:n]...)
	c.server.mu.Unlock()
	return n, err
}

// manyShapes is a batch with a record of each schema, shape, standard stream and kind.
func manyShapes() *record.Batch {
	origin := []record.Tag{{Key: "docker_container", Value: "web-1"}, {Key: "host", Value: "node-1"}, {Key: "k8s_pod", Value: "web-0"}}
	shapes := []record.Shape{{}, {StdLine: "log", Time: true}, {Objects: []record.Tag{{Key: "beat", Value: `{"name":"node-1"}`}}}}
	b := &record.Batch{}
	for _, schema := range []string{"", "ecs", "otel", "fluentd"} {
		for _, shape := range shapes {
			d := declare.Declaration{Name: "access", Target: "web", FormatOptions: map[string]string{"schema": schema}}
			tags := []record.Tag{{Key: "index", Value: "shop"}, {Key: "topic", Value: "carts"}, {Key: "pipeline", Value: "p"}, {Key: "team", Value: "blue"}}
			src := format.NewSource(d, "stream-1", "stdout", tags, origin).Shaped(shape).Less(record.Without{Source: len(b.Records)%2 == 1, Offset: schema == "otel", Stream: schema == "ecs"})
			src.SetContainer("web-1")
			for std := record.NoStd; std <= record.Stderr; std++ {
				r := record.Record{Line: []byte("line"), Fields: []byte(`"a":1`), Source: src, Time: 1763708400_123456789, Std: std}
				r.Offset = int64(len(b.Records))
				cut, marker, bare := r, r, r
				cut.Truncated, cut.SameTime, cut.Fields = true, 1, nil
				marker.Marker, marker.Line, marker.Fields = true, nil, []byte(`"remora":"gap"`)
				bare.Line = nil
				b.Records = append(b.Records, r, cut, marker, bare)
			}
		}
	}
	return b
}

// parked returns a batch of the same records, parked and read by a process that knows nothing else of them.
func parked(t *testing.T, of *record.Batch) *record.Batch {
	dir, now := filepath.Join(t.TempDir(), "parked"), time.Now()
	s, err := park.Open(dir, 1<<30, time.Second, nil)
	require.NoError(t, err)
	for _, r := range of.Records {
		require.NoError(t, s.Append("es", &park.Entry{Record: r, Since: now}, now, nil))
	}
	require.NoError(t, s.Close())
	later := &record.Batch{}
	_, err = park.Open(dir, 1<<30, time.Second, func(_ string, e *park.Entry) { later.Records = append(later.Records, e.Record) })
	require.NoError(t, err)
	require.Len(t, later.Records, len(of.Records))
	return later
}

// send lets a new output write b to a new server, and returns what that heard.
func send(t *testing.T, p protocol, b *record.Batch) []byte {
	s := newServer(t, &ledger{t: t})
	var heard [][]byte
	s.heard = &heard
	p.start(s)
	s.open()
	environ := p.environ(s.address, "", "10000")
	environ["OTEL_EXPORTER_OTLP_COMPRESSION"] = "none" // it says when it was sent
	o, err := registry.Open(p.name, environ)
	require.NoError(t, err)
	require.NoError(t, o.Write(t.Context(), b))
	require.NoError(t, o.Close())
	s.close()
	return bytes.ReplaceAll(bytes.Join(heard, nil), []byte(s.address), []byte("address"))
}

// Every output says byte for byte the same of a record that is sent at once and of one that was parked on disk and is sent by
// a later process. What differs between two sends of one record (nonces, dates, signatures) is left out.
func TestParkedRecordsAreSentAsTheyWouldHaveBeen(t *testing.T) {
	now := manyShapes()
	later := parked(t, now)
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			direct := send(t, p, now)
			varies := make([]bool, len(direct))
			compare := func() {
				for range 5 {
					again := send(t, p, now)
					require.Len(t, again, len(direct))
					for i := range direct {
						varies[i] = varies[i] || direct[i] != again[i]
					}
				}
			}
			compare()
			same := 0
			got := send(t, p, later)
			require.Len(t, got, len(direct))
			compare() // a digit of a clock that has changed meanwhile differs from now on
			for i := range direct {
				if !varies[i] {
					same++
					require.Equal(t, direct[i], got[i], "byte %d of %q", i, got[max(0, i-200):min(len(got), i+50)])
				}
			}
			require.Greater(t, same, len(direct)/2)
		})
	}
	t.Run("file", func(t *testing.T) {
		written := func(b *record.Batch) []byte {
			dir := t.TempDir()
			o, err := registry.Open("file", map[string]string{"FILE_PATH": dir, "FILE_NAME": "all"})
			require.NoError(t, err)
			require.NoError(t, o.Write(t.Context(), b))
			require.NoError(t, o.Close())
			names, err := filepath.Glob(filepath.Join(dir, "all*"))
			require.NoError(t, err)
			require.Len(t, names, 1)
			p, err := os.ReadFile(names[0])
			require.NoError(t, err)
			return p
		}
		require.Equal(t, string(written(now)), string(written(later)))
	})
}
