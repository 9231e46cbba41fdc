// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output/registry"
	"github.com/remora-logs/remora/shared/record"
)

// Whatever a server does, an output gives up when its context ends, and when its own time-out is over: nobody stops it else.
func TestWriteEndsWithItsContextAndItsTimeout(t *testing.T) {
	for _, p := range protocols {
		for _, how := range []behaviour{mute, trickling} {
			t.Run(p.name+"/"+string(how), func(t *testing.T) {
				t.Parallel()
				l := &lines{key: "stream-1"}
				s := newServer(t, newLedger(t, []*lines{l}))
				p.start(s)
				s.open()
				s.behave(how)
				b := &record.Batch{Records: make([]record.Record, 100)}
				src := l.source()
				for i := range b.Records {
					text := strings.TrimSuffix(line(l.key, int64(i)), "\n")
					b.Records[i] = record.Record{Line: []byte(text), Source: src, Time: 1763708400e9 + int64(i), Offset: int64(i) * width}
				}
				write := func(ctx context.Context, timeout string) time.Duration {
					o, err := registry.Open(p.name, p.environ(s.address, "", timeout))
					require.NoError(t, err)
					defer o.Close()
					started := time.Now()
					require.Error(t, o.Write(ctx, b))
					return time.Since(started)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				require.Less(t, write(ctx, "60000"), 5*time.Second)
				require.Less(t, write(t.Context(), "300"), 5*time.Second)
			})
		}
	}
}
