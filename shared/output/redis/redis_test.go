// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/output/settings"
)

// node is a server that answers as it is told to.
type node struct {
	address string
	answer  func(words []string) string

	conns atomic.Int32

	mu   sync.Mutex
	said [][]string
}

func start(t testing.TB, answer func(words []string) string) *node {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	n := &node{address: l.Addr().String(), answer: answer}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.conns.Add(1)
			go n.serve(c)
		}
	}()
	return n
}

func (n *node) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		var count int
		if _, err := fmt.Fscanf(in, "*%d\r\n", &count); err != nil {
			return
		}
		var words []string
		for range count {
			var size int
			if _, err := fmt.Fscanf(in, "$%d\r\n", &size); err != nil {
				return
			}
			p := make([]byte, size+2)
			_, _ = io.ReadFull(in, p)
			words = append(words, string(p[:size]))
		}
		n.mu.Lock()
		n.said = append(n.said, words)
		n.mu.Unlock()
		answer := n.answer(words)
		if answer == "" {
			return
		}
		_, _ = io.WriteString(c, answer)
	}
}

func (n *node) heard() [][]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.said
}

func open(t testing.TB, n *node, environ ...string) *Output {
	t.Helper()
	vars := map[string]string{"REDIS_HOSTS": n.address, "REDIS_KEY": "{docker_container}"}
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

func ok([]string) string { return ":1\r\n" }

func TestCommands(t *testing.T) {
	b := sample.Batch(0, 2, sample.Source(1), sample.Source(2))
	id := func(i int) string { return string(b.Records[i].AppendID(nil)) }
	for _, test := range []struct {
		environ []string
		answer  string
		want    []string // without the JSON
	}{
		{nil, ":2\r\n", []string{"RPUSH web-1 * *", "RPUSH web-2 * *"}},
		{[]string{"REDIS_DATATYPE", "channel"}, ":0\r\n", []string{"PUBLISH web-1 *", "PUBLISH web-1 *", "PUBLISH web-2 *", "PUBLISH web-2 *"}},
		{[]string{"REDIS_DATATYPE", "stream", "REDIS_MAX_LENGTH", "99", "REDIS_KEY", "k"}, "$3\r\n1-0\r\n",
			[]string{"XADD k MAXLEN ~ 99 * record *", "XADD k MAXLEN ~ 99 * record *", "XADD k MAXLEN ~ 99 * record *", "XADD k MAXLEN ~ 99 * record *"}},
		{[]string{"REDIS_DATATYPE", "stream", "REDIS_IDEMPOTENT", "true"}, "$3\r\n1-0\r\n", []string{
			"XADD web-1 IDMP " + sample.Source(1).ID + " " + id(0) + " * record *", "XADD web-1 IDMP " + sample.Source(1).ID + " " + id(2) + " * record *",
			"XADD web-2 IDMP " + sample.Source(2).ID + " " + id(1) + " * record *", "XADD web-2 IDMP " + sample.Source(2).ID + " " + id(3) + " * record *"}},
	} {
		n := start(t, func([]string) string { return test.answer })
		require.NoError(t, open(t, n, test.environ...).Write(t.Context(), b))
		var got []string
		for _, words := range n.heard() {
			for i, w := range words {
				if strings.HasPrefix(w, "{") {
					require.Contains(t, w, `,"remora":"`)
					words[i] = "*"
				}
			}
			got = append(got, strings.Join(words, " "))
		}
		require.Equal(t, test.want, got)
	}
}

func TestOneKeysErrorHoldsBackThatKeyAlone(t *testing.T) {
	for _, said := range []string{"-WRONGTYPE Operation against a key holding the wrong kind of value", "-NOPERM this user has no permissions", "-ERR string exceeds maximum allowed size"} {
		n := start(t, func(words []string) string {
			if words[1] == "web-2" {
				return said + "\r\n"
			}
			return ":1\r\n"
		})
		o := open(t, n)
		b := sample.Batch(0, 2, sample.Source(1), sample.Source(2))
		var partial *output.Partial
		require.ErrorAs(t, o.Write(t.Context(), b), &partial)
		require.Empty(t, partial.Retry)
		require.Len(t, partial.Blocked, 2)
		for i, blocked := range partial.Blocked {
			require.Equal(t, 2*i+1, blocked.Index)
			require.Equal(t, string(o.AppendDestination(nil, &b.Records[blocked.Index])), blocked.Destination)
			require.Contains(t, blocked.Reason, said[1:])
		}
	}
}

// Each command has an answer of its own, whatever the one before it was.
func TestAnswersAreCountedByTheirCommands(t *testing.T) {
	k := 0
	n := start(t, func([]string) string {
		if k++; k%3 == 0 {
			return "-OOM command not allowed when used memory > 'maxmemory'.\r\n"
		}
		return "$3\r\n1-0\r\n"
	})
	o := open(t, n, "REDIS_DATATYPE", "stream")
	var partial *output.Partial
	require.ErrorAs(t, o.Write(t.Context(), sample.Batch(0, 9, sample.Source(1))), &partial)
	require.Equal(t, []int{2, 5, 8}, partial.Retry)
	require.Len(t, n.heard(), 9)
}

func TestConnectionThatBreaksInTheMidst(t *testing.T) {
	k := 0
	n := start(t, func([]string) string {
		if k++; k == 4 {
			return ""
		}
		return ":1\r\n"
	})
	var partial *output.Partial
	require.ErrorAs(t, open(t, n, "REDIS_DATATYPE", "channel").Write(t.Context(), sample.Batch(0, 6, sample.Source(1))), &partial)
	require.Equal(t, []int{3, 4, 5}, partial.Retry)
}

func TestCluster(t *testing.T) {
	owner := start(t, ok)
	_, port, _ := net.SplitHostPort(owner.address)
	for _, said := range []string{"MOVED 42 " + owner.address, "ASK 42 :" + port} {
		owner.mu.Lock()
		owner.said = nil
		owner.mu.Unlock()
		first := start(t, func(words []string) string {
			if words[1] == "web-2" {
				return "-" + said + "\r\n"
			}
			return ":1\r\n"
		})
		o := open(t, first)
		for range 2 {
			require.NoError(t, o.Write(t.Context(), sample.Batch(0, 1, sample.Source(1), sample.Source(2))))
		}
		if strings.HasPrefix(said, "MOVED") {
			require.Len(t, first.heard(), 3, "where a key is, is remembered")
			require.Len(t, owner.heard(), 2)
		} else {
			require.Len(t, first.heard(), 4, "asked each time")
			require.Equal(t, "ASKING", owner.heard()[0][0])
		}
	}
}

func TestSentinelNamesTheMaster(t *testing.T) {
	master := start(t, func(words []string) string {
		if words[0] == "AUTH" {
			return "+OK\r\n"
		}
		return ":1\r\n"
	})
	host, port, _ := net.SplitHostPort(master.address)
	sentinel := start(t, func(words []string) string {
		if words[2] != "mymaster" {
			return "*-1\r\n"
		}
		return fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(host), host, len(port), port)
	})
	o := open(t, sentinel, "REDIS_SENTINEL_MASTER", "mymaster", "REDIS_USERNAME", "u", "REDIS_PASSWORD", "p")
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 1, sample.Source(1))))
	require.Equal(t, []string{"AUTH", "u", "p"}, master.heard()[0])
	require.ErrorContains(t, open(t, sentinel, "REDIS_SENTINEL_MASTER", "other").Write(t.Context(), sample.Batch(0, 1, sample.Source(1))),
		`no master "other"`)
}

func TestReplicasAreWaitedFor(t *testing.T) {
	replicas := ":1\r\n"
	n := start(t, func(words []string) string {
		if words[0] == "WAIT" {
			return replicas
		}
		return ":1\r\n"
	})
	o := open(t, n, "REDIS_WAIT_REPLICAS", "2")
	require.ErrorContains(t, o.Write(t.Context(), sample.Batch(0, 1, sample.Source(1))), "only 1 of 2 replicas")
	replicas = ":2\r\n"
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 1, sample.Source(1))))
}

// A node that was a master, and is none any more, is not asked again on the same connection.
func TestReadOnlyNodeIsLeft(t *testing.T) {
	n := start(t, func(words []string) string { return "-READONLY You can't write against a read only replica.\r\n" })
	o := open(t, n)
	for range 3 {
		require.ErrorContains(t, o.Write(t.Context(), sample.Batch(0, 1, sample.Source(1))), "READONLY")
	}
	require.EqualValues(t, 3, n.conns.Load())
}

func TestAnswersThatMakeNoSense(t *testing.T) {
	for _, said := range []string{"HTTP/1.1 400 Bad Request\r\n", "*99999999\r\n", "$99999999\r\n", ":x\r\n", "\r\n", "-\r\n", "*2\r\n$1\r\n", strings.Repeat("x", 10_000) + "\r\n"} {
		n := start(t, func([]string) string { return said })
		require.Error(t, open(t, n, "REDIS_TIMEOUT", "100ms").Write(t.Context(), sample.Batch(0, 1, sample.Source(1))), said)
	}
}

func TestPasswordIsNotTold(t *testing.T) {
	n := start(t, func([]string) string { return "-WRONGPASS invalid username-password pair or user is disabled.\r\n" })
	err := open(t, n, "REDIS_PASSWORD", "hunter2").Write(t.Context(), sample.Batch(0, 1, sample.Source(1)))
	require.ErrorContains(t, err, "AUTH: WRONGPASS")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestWrongSettings(t *testing.T) {
	for name, value := range map[string]string{
		"REDIS_HOST": "", "REDIS_PORT": "0", "REDIS_HOSTS": "a", "REDIS_SENTINEL_MASTER": "m", "REDIS_USERNAME": "u", "REDIS_DB": "-1",
		"REDIS_DATATYPE": "set", "REDIS_KEY": "}", "REDIS_MAX_LENGTH": "5", "REDIS_IDEMPOTENT": "true", "REDIS_WAIT_REPLICAS": "-1",
		"REDIS_SSL_CA": "/x", "REDIS_TIMEOUT": "0s",
	} {
		vars := map[string]string{"REDIS_HOST": "h"}
		vars[name] = value
		require.ErrorContains(t, settings.Load(vars, new(Config)), name)
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	for _, datatype := range []string{"list", "stream", "channel"} {
		n := start(t, ok)
		o := open(t, n, "REDIS_DATATYPE", datatype)
		perBatch := func(records int) float64 {
			b := sample.Batch(0, records, sample.Source(1), sample.Source(2))
			w := o.works.New().(*work)
			run := func() {
				o.divide(w, b)
				for _, k := range w.order {
					for at := 0; at < len(k.index); {
						at = o.append(w, b, k, at)
					}
				}
			}
			run()
			return testing.AllocsPerRun(20, run)
		}
		require.LessOrEqual(t, perBatch(500), perBatch(5))
	}
}

func BenchmarkEncode(b *testing.B) {
	batch := sample.Batch(0, 10_000, sample.Source(1))
	o := open(b, &node{address: "127.0.0.1:1"})
	w := o.works.New().(*work)
	b.ReportAllocs()
	for b.Loop() {
		o.divide(w, batch)
		for _, k := range w.order {
			for at := 0; at < len(k.index); {
				at = o.append(w, batch, k, at)
			}
		}
	}
	b.SetBytes(int64(len(w.request.bytes)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Records)), "ns/record")
}
