// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
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

// A stream that was not read because its output was down, or Remora was, keeps what its writer wrote within the limit; what is
// above it is suppressed in that time as in any.
func TestAnOutageSuppressesNothingWithinTheLimit(t *testing.T) {
	for _, c := range []struct {
		each       int // lines a second
		suppressed bool
	}{{5, false}, {20, true}} {
		synctest.Test(t, func(t *testing.T) {
			b := &bench{t: t, path: filepath.Join(t.TempDir(), "checkpoints.db"), out: &backend{}}
			var down atomic.Bool
			b.out.before = func(context.Context, *record.Batch) error {
				if down.Load() {
					return errors.New("connection refused")
				}
				return nil
			}
			m := &memory{key: "s"}
			attach := func() {
				src := record.NewSource(m.key, "d", m.key, "target", nil, nil)
				d := declare.Declaration{Name: "d", Filters: map[string]string{"rate_limit": "6"}}
				_, err := b.Attach(pipeline.Route{Stream: m, Source: src, Output: "test", Open: func() (cut.Cutter, *format.Chain, error) {
					c, err := format.New(d, src, format.Options{Log: slog.New(slog.DiscardHandler), Rates: new(format.Rates), Owner: "web"})
					return cut.NewLines(src, 1<<16), c, err
				}})
				require.NoError(t, err)
			}
			var want []string
			const seconds = 900
			for i := range seconds {
				switch i {
				case 0, 700: // 500 to 700: Remora is not there
					b.start(blocking)
					attach()
				case 500:
					time.Sleep(10 * time.Second)
					b.stop()
				}
				down.Store(i > 60 && i < 400)
				for n := range c.each {
					want = append(want, fmt.Sprintf("s %d", c.each*i+n))
					m.write(want[len(want)-1] + "\n")
				}
				time.Sleep(time.Second)
			}
			time.Sleep(time.Minute)
			b.stop()
			if !c.suppressed {
				require.Equal(t, want, b.out.of("s "))
				return
			}
			require.InDelta(t, 6*seconds, len(b.out.of("s ")), 6*60) // besides 60 s in which nothing was written
		})
	}
}
