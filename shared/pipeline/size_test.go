// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/record"
)

// A batch is about as large as it is allowed to be, whatever the records are made of: many short members, a line that
// is kept beside its fields, many tags, nothing at all.
func TestABatchIsAsLargeAsItIsEstimated(t *testing.T) {
	members := make([]string, 60)
	for i := range members {
		members[i] = fmt.Sprintf(`"k%d":%d`, i, i%10)
	}
	object := "{" + strings.Join(members, ",") + "}"
	var tags []record.Tag
	for i := range 60 {
		tags = append(tags, record.Tag{Key: fmt.Sprintf("tag%d", i), Value: "value"})
	}
	for name, of := range map[string]struct {
		line string
		decl declare.Declaration
		tags []record.Tag
	}{
		"60 members":              {line: object, decl: declare.Declaration{Format: "json"}},
		"60 members and the line": {line: object, decl: declare.Declaration{Format: "json", FormatOptions: map[string]string{"keep_message": "true"}}},
		"60 tags":                 {line: "x", tags: tags},
		"60 members, 60 tags":     {line: object, decl: declare.Declaration{Format: "json"}, tags: tags},
		"nothing":                 {line: ""},
		"added":                   {line: "x", decl: declare.Declaration{Filters: map[string]string{"add": "a=" + strings.Repeat("v", 4000)}}},
		"plain":                   {line: strings.Repeat("a", 200)},
	} {
		t.Run(name, func(t *testing.T) {
			out := &encodingOutput{}
			p := idlePipeline(t, Sink{Output: out, Workers: 1})
			in := &tape{data: []byte(of.line + "\n"), key: "s", end: 64 << 20}
			src := record.NewSource("s", "d", "stdout", "t", of.tags, nil)
			_, err := p.Attach(Route{Stream: in, Source: src, Output: "test", Open: func() (cut.Cutter, *format.Chain, error) {
				chain, err := format.New(of.decl, src, format.Options{Log: slog.New(slog.DiscardHandler)})
				return cut.NewLines(src, 1<<20), chain, err
			}})
			require.NoError(t, err)
			shard := p.sinks["test"].shards[0]
			fl := <-shard.idle
			for !fl.full {
				got, _ := shard.round(fl)
				require.True(t, got > 0 || len(fl.batch.Records) > 0)
			}
			require.NoError(t, out.Write(t.Context(), fl.batch))
			sent := len(out.body)
			for i := range fl.batch.Records { // what OTLP adds to each member
				sent += 6 * strings.Count(string(fl.batch.Records[i].Fields), ":")
			}
			require.LessOrEqual(t, sent, shard.cfg.BatchBytes*5/4)
			require.LessOrEqual(t, fl.size, shard.cfg.BatchBytes*5/4)
			require.LessOrEqual(t, fl.size, 2*sent, "nor is it much smaller")
		})
	}
}
