// SPDX-License-Identifier: Apache-2.0

package deliver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/checkpoint"
	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/stream"
	"github.com/remora-logs/remora/shared/telemetry"
)

func options(t *testing.T, outputs ...string) deliver.Options {
	t.Helper()
	o := deliver.Options{Version: "1", Outputs: outputs, StateDir: filepath.Join(t.TempDir(), "state"), Log: slog.New(slog.DiscardHandler)}
	require.NoError(t, deliver.Load(nil, &o.Common, &o.Batching))
	return o
}

func TestOutputsOfADeclaration(t *testing.T) {
	d, err := deliver.Open(options(t, "null", "console"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	require.Equal(t, []string{"null", "console"}, d.Outputs(declare.Declaration{}))
	require.Equal(t, []string{"console"}, d.Outputs(declare.Declaration{Outputs: []string{"kafka", "console"}}))
	require.Empty(t, d.Outputs(declare.Declaration{Outputs: []string{"kafka"}}))
}

// What can't be filtered is not delivered: a mask that is left out would send what it is there to hide.
func TestDeclarationThatCannotBeCarriedOutIsNotDelivered(t *testing.T) {
	d, err := deliver.Open(options(t, "null"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	for _, broken := range []declare.Declaration{
		{Name: "web", Source: declare.Stdout, Filters: map[string]string{"mask": "("}},
		{Name: "web", Source: "/l/*.log", Files: map[string]string{"encoding": "klingon"}},
	} {
		_, err = d.Attach(deliver.Request{Declaration: broken, Stream: empty{}, Path: broken.Source, Output: "null"})
		require.ErrorContains(t, err, "declaration web: ")
	}
	_, err = d.Attach(deliver.Request{Declaration: declare.Declaration{Name: "web", Format: "none"}, Stream: empty{}, Output: "null"})
	require.NoError(t, err)
}

// As log-pilot, but only where it is asked for: an application may have fields of these names.
func TestRecordsInLogPilotsShape(t *testing.T) {
	for mode, want := range map[string]map[string]string{
		"": {"team": "a"}, "filebeat": {"team": "a", "index": "shop", "topic": "mine"}, "fluentd": {"team": "a", "index": "shop", "topic": "mine"},
	} {
		o := options(t, "null")
		o.Common.Compat = mode
		d, err := deliver.Open(o)
		require.NoError(t, err)
		declaration := declare.Declaration{Name: "web", Format: "none", Target: "shop", Tags: map[string]string{"team": "a"}}
		if mode != "" {
			declaration.Tags["topic"] = "mine"
		}
		_, err = d.Attach(deliver.Request{Declaration: declaration, Stream: empty{}, Output: "null"})
		require.NoError(t, err)
		feeds, _, _ := d.Pipeline.Status(time.Now())
		got := map[string]string{}
		for _, tag := range feeds[0].Source.Tags {
			got[tag.Key] = tag.Value
		}
		require.Equal(t, want, got, mode)
		require.NoError(t, d.Close())
	}
}

func TestFieldsAreChosen(t *testing.T) {
	origin := []record.Tag{{Key: "docker_container", Value: "web"}, {Key: "container_id", Value: "1"}, {Key: "k8s_pod", Value: "p"}, {Key: "host", Value: "h"}}
	for fields, want := range map[string][]string{
		"": {"docker_container", "container_id", "k8s_pod", "host"}, "k8s_*, host": {"k8s_pod", "host"}, "none": nil, "offset,host": {"host"},
	} {
		o := options(t, "null")
		require.NoError(t, deliver.Load(map[string]string{"REMORA_FIELDS": fields}, &o.Common))
		d, err := deliver.Open(o)
		require.NoError(t, err)
		_, err = d.Attach(deliver.Request{Declaration: declare.Declaration{Name: "web", Format: "none"}, Stream: empty{}, Output: "null", Origin: origin})
		require.NoError(t, err)
		feeds, _, _ := d.Pipeline.Status(time.Now())
		var got []string
		for _, tag := range feeds[0].Source.Tags {
			got = append(got, tag.Key)
		}
		require.Equal(t, want, got, fields)
		members := map[string]any{}
		var e record.Encoder
		text := e.AppendRecord(nil, &record.Record{Line: []byte("x"), Source: feeds[0].Source, Std: record.Stdout, Offset: 7})
		require.NoError(t, json.Unmarshal(text, &members), "%s", text)
		for _, own := range []string{"source", "offset", "stream"} {
			_, has := members[own]
			require.Equal(t, fields == "" || strings.Contains(fields, own), has, "%s: %s", fields, own)
		}
		require.Equal(t, "web", feeds[0].Source.Container(), "the status knows it in any case")
		require.NoError(t, d.Close())
	}
}

func TestTemporaryStateStandsIn(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	o := options(t, "null")
	require.NoError(t, os.WriteFile(o.StateDir, nil, 0o600)) // a file where the directory should be
	_, err := deliver.Open(o)
	require.ErrorContains(t, err, "REMORA_STATE_DIR "+o.StateDir)
	d, err := deliver.OpenAnyway(o)
	require.NoError(t, err)
	require.NotEqual(t, o.StateDir, d.StateDir)
	require.NoError(t, d.Close())
}

func TestWrongSettings(t *testing.T) {
	o := options(t, "kafka")
	o.Environ = map[string]string{"KAFKA_BROKERS": ""}
	_, err := deliver.Open(o)
	require.ErrorContains(t, err, "KAFKA_BROKERS")
	require.True(t, command.IsUsage(err))

	d, err := deliver.OpenAnyway(o)
	require.NoError(t, err)
	require.True(t, d.Idle())
	require.Equal(t, []string{"kafka"}, d.Outputs(declare.Declaration{}))
	require.Equal(t, []string{"loki"}, d.Outputs(declare.Declaration{Outputs: []string{"loki"}}), "it waits for its output")
	d.Serve(func(*telemetry.Snapshot) {}, func() []telemetry.Declaration { return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	body, err := telemetry.Fetch(ctx, "/readyz", telemetry.Address{Network: "unix", Address: filepath.Join(o.StateDir, "status.sock")})
	require.NoError(t, err)
	require.Contains(t, string(body), "settings: output kafka: KAFKA_BROKERS")
	require.NoError(t, d.Close())
}

func TestSecondProcessIsToldOfTheFirst(t *testing.T) {
	o := options(t, "null")
	first, err := deliver.Open(o)
	require.NoError(t, err)
	_, err = deliver.Open(o)
	require.ErrorContains(t, err, fmt.Sprintf("%s is in use by process %d", o.StateDir, os.Getpid()))
	require.NoError(t, first.Close())
}

// commit stores checkpoints as another process would have left them.
func commit(t *testing.T, o deliver.Options, entries map[checkpoint.Key]checkpoint.Entry) {
	t.Helper()
	require.NoError(t, os.MkdirAll(o.StateDir, 0o700))
	store, err := checkpoint.Open(filepath.Join(o.StateDir, "checkpoints.db"))
	require.NoError(t, err)
	require.NoError(t, store.Commit(entries, nil))
	require.NoError(t, store.Close())
}

func TestOutputsThatReplaceOthersResumeWhereTheyWere(t *testing.T) {
	at := func(low int64) checkpoint.Entry {
		return checkpoint.Entry{Position: checkpoint.Position{Low: low, Done: low + 1}, Mark: []byte("m"), Losses: checkpoint.Losses{Gaps: 1}}
	}
	o := options(t, "null", "console")
	commit(t, o, map[checkpoint.Key]checkpoint.Entry{
		{Stream: "a", Declaration: "d", Output: "file"}: at(20), {Stream: "a", Declaration: "d", Output: "kafka"}: at(10),
		{Stream: "b", Declaration: "d", Output: "file"}: at(30), {Stream: "b", Declaration: "d", Output: "null"}: at(5),
	})
	d, err := deliver.Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	for _, output := range o.Outputs {
		e, ok, err := d.Store.Load(checkpoint.Key{Stream: "a", Declaration: "d", Output: output})
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, checkpoint.Entry{Position: at(10).Position, Mark: []byte("m")}, e, "the slowest, without its losses")
	}
	e, _, err := d.Store.Load(checkpoint.Key{Stream: "b", Declaration: "d", Output: "null"})
	require.NoError(t, err)
	require.Equal(t, int64(5), e.Low)
	_, ok, err := d.Store.Load(checkpoint.Key{Stream: "b", Declaration: "d", Output: "console"})
	require.NoError(t, err)
	require.False(t, ok, "it was added, and starts with everything")
}

// empty is a stream that has ended before its first byte.
type empty struct{ stream.Stream }

func (empty) Key() string { return "empty" }
func (empty) End() int64  { return 0 }
