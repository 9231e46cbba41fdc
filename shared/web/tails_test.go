// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/telemetry"
)

func source(container, declaration string) *record.Source {
	return record.NewSource("s", declaration, "stdout", "t", nil, []record.Tag{{Key: "docker_container", Value: container}})
}

func lines(s *record.Source, n int, line string) (all []record.Record) {
	for i := range n {
		all = append(all, record.Record{Line: []byte(line), Source: s, Offset: int64(i)})
	}
	return all
}

func all(int) bool { return true }

// tapped is a pipeline's tap.
type tapped struct {
	mu  sync.Mutex
	now pipeline.Tap
}

func (p *tapped) set(t pipeline.Tap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = t
}

func (p *tapped) on() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now != nil
}

// tap shows records, if there is a viewer.
func (p *tapped) tap(output string, records []record.Record, taken func(int) bool) {
	p.mu.Lock()
	tap := p.now
	p.mu.Unlock()
	if tap != nil {
		tap(output, records, taken)
	}
}

func TestNobodyIsShownAnythingWithoutAViewer(t *testing.T) {
	var p tapped
	tails := &Tails{SetTap: p.set}
	one, err := tails.Open(Wanted{})
	require.NoError(t, err)
	two, err := tails.Open(Wanted{})
	require.NoError(t, err)
	one.Close()
	require.True(t, p.on())
	two.Close()
	require.False(t, p.on())
	for range maxViewers {
		_, err := tails.Open(Wanted{})
		require.NoError(t, err)
	}
	_, err = tails.Open(Wanted{})
	require.Error(t, err)
}

func TestAViewerSeesItsRecordsOnce(t *testing.T) {
	var p tapped
	v, err := (&Tails{SetTap: p.set}).Open(Wanted{Container: "web"})
	require.NoError(t, err)
	web, db := source("web", "access"), source("db", "access")
	batch := append(lines(web, 2, "mine"), lines(db, 2, "secret of db")...)
	p.tap("kafka", batch, func(i int) bool { return i != 1 })
	p.tap("elastic", batch, all) // the same records
	events, missed := v.Take(nil)
	require.Equal(t, 1, strings.Count(string(events), "data: "), "what was refused is not delivered")
	require.NotContains(t, string(events), "secret")
	require.Zero(t, missed)
	var e struct {
		Container, Log, Output string
		Record                 map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(strings.TrimPrefix(strings.TrimSpace(string(events)), "data: ")), &e))
	require.Equal(t, "web access kafka mine", fmt.Sprint(e.Container, " ", e.Log, " ", e.Output, " ", e.Record["message"]))
}

// A viewer that takes nothing costs a bounded memory, and is told what it missed; so does a log of a million lines.
func TestASlowViewerMissesRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p tapped
		v, err := (&Tails{SetTap: p.set}).Open(Wanted{})
		require.NoError(t, err)
		fast := lines(source("web", "a"), 10_000, "x")
		p.tap("o", fast, all)
		events, missed := v.Take(nil)
		require.Equal(t, maxPerSecond, strings.Count(string(events), "data: "))
		require.Equal(t, int64(9_000), missed)
		large := lines(source("web", "a"), 100, strings.Repeat("\x00", 1<<20))
		for range 10 {
			time.Sleep(time.Second) // of the bubble
			p.tap("o", large, all)
		}
		require.LessOrEqual(t, len(v.pending), maxPending+8*(maxLine+maxFields))
		events, missed = v.Take(nil)
		require.Equal(t, int64(1000), missed+int64(strings.Count(string(events), "data: ")))
		for event := range strings.SplitSeq(strings.TrimSpace(string(events)), "\n\n") {
			require.True(t, json.Valid([]byte(strings.TrimPrefix(event, "data: "))))
			require.Contains(t, event, `"shortened":true`)
		}
	})
}

// What an application writes can't forge an event.
func TestALineForgesNoEvent(t *testing.T) {
	var p tapped
	v, err := (&Tails{SetTap: p.set}).Open(Wanted{})
	require.NoError(t, err)
	p.tap("o\n\ndata: x", lines(source("web\n\nevent: missed", "a"), 1, "\r\ndata: {}\n\nevent: missed\ndata: 9\n\n"), all)
	events, _ := v.Take(nil)
	require.Equal(t, 2, strings.Count(string(events), "\n"), "%q", events)
	require.NotContains(t, string(events), "\r")
}

func TestTailOverTheSocket(t *testing.T) {
	var p tapped
	page := testPage(Access{})
	set := make(chan bool, 2)
	page.options.Tails.SetTap = func(tap pipeline.Tap) { p.set(tap); set <- tap != nil }
	dir, err := os.MkdirTemp("", "remora")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	server, err := page.Listen("unix", dir+"/s")
	require.NoError(t, err)
	defer server.Close()
	ctx, stop := context.WithCancel(t.Context())
	body, err := telemetry.Open(ctx, "/api/tail?container=web&log=a", telemetry.Address{Network: "unix", Address: dir + "/s"})
	require.NoError(t, err)
	require.True(t, <-set)
	p.tap("o", lines(source("web", "a"), 3000, "hello"), all)
	seen, missed := 0, ""
	for events := bufio.NewScanner(body); missed == "" && events.Scan(); {
		if strings.Contains(events.Text(), `"hello"`) {
			seen++
		}
		if events.Text() == "event: missed" {
			events.Scan()
			missed = events.Text()
		}
	}
	require.Equal(t, maxPerSecond, seen)
	require.Equal(t, "data: 2000", missed)
	stop()
	require.False(t, <-set, "who leaves costs nothing any more")
}

func TestRatesOfTheLastHour(t *testing.T) {
	r := NewRates()
	key := telemetry.RowKey{Container: "web", Declaration: "a", Output: "o"}
	counts := map[telemetry.RowKey]int64{key: 0, {Container: "quiet"}: 0}
	for minute := range 100 {
		counts[key] += int64(minute)
		r.Add(counts)
	}
	hour := r.Hour()
	require.Len(t, hour, 1, "a row without records takes no memory")
	require.Len(t, hour[0].Minutes, minutes)
	require.Equal(t, uint32(40), hour[0].Minutes[0])
	require.Equal(t, uint32(99), hour[0].Minutes[59])
	for range minutes + 1 {
		r.Add(counts)
	}
	require.Len(t, r.Hour(), 1, "it is counted on from where it was")
	counts[key]++
	r.Add(counts)
	require.Equal(t, uint32(1), r.Hour()[0].Minutes[59])
	for range minutes + 2 {
		r.Add(nil)
	}
	require.Empty(t, r.Hour())
	for i := range 2 * maxRates {
		counts[telemetry.RowKey{Container: fmt.Sprint(i)}] = 1
	}
	r.Add(counts)
	require.Len(t, r.rows, maxRates)
}

// The page has a text in both languages for each thing that it shows, and an advice where the program has one.
func TestTextsAreComplete(t *testing.T) {
	script, err := static.ReadFile("static/texts.js")
	require.NoError(t, err)
	en, zh, ok := strings.Cut(string(script), "\n  zh: {")
	require.True(t, ok)
	zh, _, _ = strings.Cut(zh, "\n};")
	keys := func(text string) (all []string) {
		for _, m := range regexp.MustCompile(`(?:^|[ {])([a-zA-Z_]+): ['{]`).FindAllStringSubmatch(text, -1) {
			if m[1] != "en" {
				all = append(all, m[1])
			}
		}
		return all
	}
	require.Equal(t, keys(en), keys(zh))
	for _, state := range telemetry.States() {
		require.Contains(t, en, " "+string(state)+": '", state)
		if advice := telemetry.Advice(state); advice != "" {
			require.Contains(t, strings.ReplaceAll(en, "’", "'"), strings.ReplaceAll(advice, "'", "'"), state)
		}
	}
	for name, a := range assets {
		for _, m := range regexp.MustCompile(`data-text="(\w+)"`).FindAllStringSubmatch(string(a.content), -1) {
			require.Contains(t, keys(en), m[1], name)
		}
		require.NotContains(t, string(a.content), "innerHTML", name)
		require.NotRegexp(t, `(?i)<[^>]+\s(on\w+|style)=`, string(a.content), name)
		require.NotRegexp(t, `https?://(?:[^w]|w[^w])`, string(a.content), "%s: nothing comes from elsewhere", name)
	}
}
