// SPDX-License-Identifier: Apache-2.0

package deliver_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/stream"
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

func TestTemporaryStateStandsIn(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	o := options(t, "null")
	require.NoError(t, os.WriteFile(o.StateDir, nil, 0o600)) // a file where the directory should be
	_, err := deliver.Open(o)
	require.ErrorContains(t, err, "REMORA_STATE_DIR "+o.StateDir)
	d, err := deliver.UseTemporary(o)
	require.NoError(t, err)
	require.NotEqual(t, o.StateDir, d.StateDir)
	require.NoError(t, d.Close())
}

func TestWrongSettingOfAnOutputIsAUsageError(t *testing.T) {
	o := options(t, "kafka")
	o.Environ = map[string]string{"KAFKA_BROKERS": ""}
	_, err := deliver.UseTemporary(o)
	require.ErrorContains(t, err, "KAFKA_BROKERS")
	require.True(t, command.IsUsage(err))
}

// empty is a stream that has ended before its first byte.
type empty struct{ stream.Stream }

func (empty) Key() string { return "empty" }
func (empty) End() int64  { return 0 }
