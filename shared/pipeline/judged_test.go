// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/format"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/record"
)

// A stream keeps its limit while it waits for its destination: nothing of it is suppressed, and it is sampled as if it had
// not waited. An innocent stream that shares the limit gets its own meanwhile.
func TestAStreamThatWaitedIsNotSuppressed(t *testing.T) {
	for key, keeps := range map[string]int{"rate_limit": 1, "sample": 7} {
		t.Run(key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, o := newIndices(t, blocking)
				defer b.stop()
				rates := new(format.Rates)
				attach := func(m *memory) *pipeline.Feed {
					src := record.NewSource(m.key, "d", m.key, "target", nil, nil)
					d := declare.Declaration{Name: "d", Filters: map[string]string{key: map[string]string{"rate_limit": "12", "sample": "7"}[key]}}
					f, err := b.Attach(pipeline.Route{Stream: m, Source: src, Output: "test", Open: func() (cut.Cutter, *format.Chain, error) {
						c, err := format.New(d, src, format.Options{Log: slog.New(slog.DiscardHandler), Rates: rates, Owner: "web"})
						return cut.NewLines(src, 1<<16), c, err
					}})
					require.NoError(t, err)
					return f
				}
				waits, innocent := &memory{key: "waits"}, &memory{key: "innocent"}
				f := attach(waits)
				attach(innocent)
				want := map[string][]string{}
				write := func(m *memory, i int) {
					line := fmt.Sprintf("%s %d", m.key, i)
					m.write(line + "\n")
					if i%keeps == 0 {
						want[m.key] = append(want[m.key], line)
					}
				}
				for i := range 600 { // five of each a second
					o.set("waits", i > 60 && i < 500)
					for n := range 5 {
						write(waits, 5*i+n)
						write(innocent, 5*i+n)
					}
					time.Sleep(time.Second)
				}
				time.Sleep(time.Minute)
				require.Equal(t, want["innocent"], b.out.of("innocent"))
				require.Equal(t, want["waits"], b.out.of("waits"))
				accountsAgree(t, f.Status(time.Now()).Counts)
			})
		})
	}
}
