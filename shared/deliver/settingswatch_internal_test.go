// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
)

func TestChangedSettingsTakeEffectOrAreNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "remora.yml")
	write := func(text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	var said bytes.Buffer
	log := command.Logger(&config.Common{LogLevel: "info", LogFormat: "text"}, &said, &said)
	write("settings: {REMORA_WORKERS: 2}\n")
	w := newSettingsWatch(path, map[string]string{"REMORA_HOST": "h"}, log)
	w.poll()
	w.poll()
	require.Empty(t, said.String())

	write("settings: {REMORA_WORKERS: 2, REMORA_LOG_LEVEL: debug, REMORA_HOST: other}\n")
	w.poll()
	log.Debug("before")
	w.poll() // the same twice
	log.Debug("after")
	require.NotContains(t, said.String(), "before")
	require.Contains(t, said.String(), "after")
	require.Empty(t, w.problems(), "the level is in effect, and the environment's REMORA_HOST wins")

	write("settings: {REMORA_WORKERS: 16}\n")
	w.poll()
	w.poll()
	require.Len(t, w.problems(), 1)
	require.Equal(t, "take effect at the next start: REMORA_WORKERS", w.problems()[0].Message)
	require.True(t, w.problems()[0].Warning)
	require.Contains(t, said.String(), "code=REM1006 settings=[REMORA_WORKERS]")
	said.Reset()
	log.Debug("quiet again")
	require.Empty(t, said.String(), "the level is the default again")

	write("settings: {REMORA_WORKERS: none, REMORA_WORKRS: 1}\n")
	w.poll()
	w.poll()
	require.Contains(t, said.String(), "code=REM1007")
	require.Contains(t, w.problems()[0].Message, "line 1: settings.REMORA_WORKRS")
	write("settings: {REMORA_WORKERS: 2}   \n")
	w.poll()
	w.poll()
	require.Empty(t, w.problems())
}
