// SPDX-License-Identifier: Apache-2.0

// Package sample makes records for tests of outputs.
package sample

import (
	"fmt"
	"strconv"

	"github.com/remora-logs/remora/shared/record"
)

// Start is the time of each stream's first record. Each further record is a millisecond later.
const Start = 1763708400_000000000

// Width is the distance between the offsets of two records, in bytes.
const Width = 100

// Source returns the source of stream number n, with the tags of a container.
func Source(n int) *record.Source {
	return record.NewSource("stream-"+strconv.Itoa(n), "access", "stdout", "web",
		[]record.Tag{{Key: "team", Value: "blue"}},
		[]record.Tag{
			{Key: "docker_container", Value: "web-" + strconv.Itoa(n)}, {Key: "host", Value: "node-1"},
			{Key: "container_id", Value: "0123456789ab"}, {Key: "image", Value: "nginx:1.27"},
		})
}

// Line returns the line of record i of a stream.
func Line(i int) string {
	return fmt.Sprintf(`10.0.0.1 - - "GET /%09d HTTP/1.1" 200 612 "-" "curl/8.5.0"`, i)
}

// Batch returns a batch of the records from to to-1 of each source, in turn.
func Batch(from, to int, sources ...*record.Source) *record.Batch {
	b := record.NewBatch(0)
	for i := from; i < to; i++ {
		for _, s := range sources {
			b.Records = append(b.Records, record.Record{
				Line: b.Hold([]byte(Line(i))), Source: s, Std: record.Stdout,
				Time: Start + int64(i)*1e6, Offset: int64(i) * Width,
			})
		}
	}
	return b
}
