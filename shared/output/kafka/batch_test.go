// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash/crc32"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/record"
)

// decode reads a record batch with the library's decoder, and wants all of it to be as a broker wants it.
func decode(t testing.TB, p []byte) (all []sent) {
	t.Helper()
	var b kmsg.RecordBatch
	require.NoError(t, b.ReadFrom(p))
	require.EqualValues(t, len(p)-12, b.Length)
	require.EqualValues(t, 2, b.Magic)
	require.EqualValues(t, crc32.Checksum(p[21:], crc32.MakeTable(crc32.Castagnoli)), uint32(b.CRC))
	require.Zero(t, b.FirstOffset)
	require.EqualValues(t, -1, b.PartitionLeaderEpoch)
	require.Equal(t, b.NumRecords-1, b.LastOffsetDelta)
	records, err := kgo.DefaultDecompressor().Decompress(b.Records, kgo.CompressionCodecType(b.Attributes&7))
	require.NoError(t, err)
	for len(records) > 0 {
		length, size := binary.Varint(records)
		require.Equal(t, size, varintLen(int(length)), "the shortest form")
		require.LessOrEqual(t, size+int(length), len(records))
		s := sent{index: -1}
		require.NoError(t, s.ReadFrom(records[:size+int(length)]))
		require.EqualValues(t, length, s.Length)
		require.EqualValues(t, len(all), s.OffsetDelta)
		s.time = b.FirstTimestamp + s.TimestampDelta64
		require.Equal(t, s.AppendTo(nil), records[:size+int(length)], "the library would write the same")
		all, records = append(all, s), records[size+int(length):]
	}
	require.Len(t, all, int(b.NumRecords))
	latest := int64(math.MinInt64)
	for _, r := range all {
		latest = max(latest, r.time)
	}
	require.Equal(t, latest, b.MaxTimestamp)
	return all
}

// The bytes of a small record batch, taken apart by hand after Kafka's documentation of the format.
func TestRecordBatchToTheByte(t *testing.T) {
	o := open(t)
	s := record.NewSource("k", "d", "f", "web", nil, []record.Tag{{Key: "h", Value: "n"}})
	b := record.NewBatch(0)
	for i, at := range []int64{1000, 1003, 900} {
		b.Records = append(b.Records, record.Record{Line: []byte("x"), Source: s, Time: at * 1e6, Offset: int64(i)})
	}
	w := fill(o, b, 1)
	w.queues[0].p.producer, w.queues[0].p.next = producer{id: 7, epoch: 3}, 9
	p := o.request(w, []chunk{{w.queues[0], 3}}).Topics[0].Partitions[0].Records

	header := "0000000000000000" + // offset
		"%length%" + "ffffffff" + "02" + "%crc%" +
		"0000" + "00000002" + // no codec, the last offset
		"00000000000003e8" + "00000000000003eb" + // 1000, 1003
		"0000000000000007" + "0003" + "00000009" + "00000003" // producer, epoch, sequence, count
	require.Equal(t, header[:16], hex.EncodeToString(p[:8]))
	require.Equal(t, header[24:34], hex.EncodeToString(p[12:17]))
	require.Equal(t, header[39:], hex.EncodeToString(p[21:61]))

	rest := p[61:]
	for i, delta := range []int64{0, 3, -100} {
		value := `{"@timestamp":"1970-01-01T00:00:0` + []string{"1.000", "1.003", "0.900"}[i] + `000000Z","message":"x","offset":` +
			string('0'+rune(i)) + `,"source":"f","h":"n"}`
		body := binary.AppendVarint([]byte{0}, delta)
		body = append(body, byte(2*i))
		body = append(append(body, 32), s.ID...)
		body = append(binary.AppendVarint(body, int64(len(value))), value...)
		body = append(append(body, 4, 18), "remora_id"...)
		body = append(append(body, 36), s.ID+"."+string('0'+rune(i))...)
		body = append(body, 2, 'h', 2, 'n')
		want := append(binary.AppendVarint(nil, int64(len(body))), body...)
		require.Equal(t, string(want), string(rest[:len(want)]))
		rest = rest[len(want):]
	}
	require.Empty(t, rest)
}

// Lengths of all widths, one after another in any order, because each is guessed from the one before.
func TestLengthsOfAllWidths(t *testing.T) {
	o := open(t, "KAFKA_MAX_MESSAGE_BYTES", "60000000")
	b := record.NewBatch(0)
	s := sample.Source(1)
	for i, size := range []int{0, 10, 5000, 0, 70_000, 8000, 8200, 1, 9000, 200_000, 0, 64, 63} {
		b.Records = append(b.Records, record.Record{Line: bytes.Repeat([]byte{'x'}, size), Source: s, Offset: int64(i)})
	}
	w := fill(o, b, 1)
	for i, r := range drain(t, o, w)[w.queues[0]] {
		var v struct{ Message string }
		require.NoError(t, json.Unmarshal(r.Value, &v))
		require.Equal(t, string(b.Records[i].Line), v.Message)
	}
}

func TestVarintLen(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 8191, 8192, 1<<20 - 1, 1 << 20, 1<<27 - 1, 1 << 27, math.MaxInt32} {
		require.Equal(t, len(binary.AppendVarint(nil, int64(n))), varintLen(n))
	}
}

func TestCodecs(t *testing.T) {
	for name, number := range map[string]byte{"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4} {
		o := open(t, "KAFKA_COMPRESSION_CODEC", name, "KAFKA_MAX_MESSAGE_BYTES", "20000")
		b := sample.Batch(0, 300, sample.Source(1))
		w := fill(o, b, 1)
		q := w.queues[0]
		p := o.request(w, []chunk{{q, q.next()}}).Topics[0].Partitions[0].Records
		require.Equal(t, number, p[22], name)
		if number > 0 {
			require.Less(t, len(p), 10_000, name)
		}
		require.Len(t, drain(t, o, w)[q], 300)
	}
}

// Whatever records there are, whatever bounds, splits and lost answers: a consumer reads each once, in order, with what it says.
func FuzzRecordBatches(f *testing.F) {
	f.Add([]byte("hello\x00world"), int64(1), uint16(3), uint8(2), true)
	f.Add(bytes.Repeat([]byte("line "), 3000), int64(-5e18), uint16(100), uint8(7), false)
	f.Add([]byte{0xff}, int64(math.MaxInt64), uint16(900), uint8(0), true)
	outputs := map[bool]*Output{
		true:  open(f, "KAFKA_MAX_MESSAGE_BYTES", "2000", "KAFKA_PARTITION_KEY", "k"),
		false: open(f, "KAFKA_MAX_MESSAGE_BYTES", "1000000"),
	}
	f.Fuzz(func(t *testing.T, text []byte, ns int64, count uint16, step uint8, small bool) {
		o, b, source := outputs[small], record.NewBatch(0), sample.Source(int(step)%3)
		for i := range int(count % 150) {
			line := text[i*int(step)%(len(text)+1):]
			r := record.Record{Line: line[:min(len(line), 300+10*i)], Source: source, Time: ns ^ int64(i)*int64(count), Offset: int64(i)}
			if i%3 == 1 {
				r.Fields = append(record.AppendBytes([]byte(`"k":`), line[:len(line)/2]), `,"n":1`...)
			}
			b.Records = append(b.Records, r)
		}
		if len(b.Records) == 0 {
			return
		}
		w, all := newWorkspace(o.config.MaxMessageBytes), map[string]*topic{"web": topicOf(3)}
		seen := 0
		for at := 0; at < len(b.Records); {
			at = o.fill(w, b, at, all, newVerdict())
			for _, q := range w.queues {
				last := int32(-1)
				for q.left() > 0 {
					if q.most = int(step) % 5 * 7; q.sent%2 == 1 {
						q.most = 0
					}
					n := q.next()
					if step%4 == 3 { // as many as were unconfirmed, in whatever batches they lie now
						n = min(q.left(), n+int(step)/4)
					}
					batch := o.request(w, []chunk{{q, n}}).Topics[0].Partitions[0].Records
					for i, r := range decode(t, batch) {
						index := q.index[q.sent+i]
						require.Less(t, last, index)
						last = index
						checkRecord(t, o, &b.Records[index], r)
						seen++
					}
					q.sent += n
				}
			}
		}
		require.Equal(t, len(b.Records), seen)
	})
}

func checkRecord(t *testing.T, o *Output, r *record.Record, got sent) {
	var enc record.Encoder
	require.Equal(t, string(enc.AppendRecord(nil, r)), string(got.Value))
	require.Equal(t, max(r.Time, 0)/1e6, got.time)
	require.Equal(t, string(r.AppendID(nil)), string(got.Headers[0].Value))
	require.Len(t, got.Headers, 1+r.Source.Origin)
	key := r.Source.ID
	if o.config.PartitionKey != "" {
		key = string(appendFieldKey(nil, o.config.PartitionKey, r))
	}
	require.Equal(t, key, string(got.Key))
}
