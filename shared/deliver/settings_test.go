// SPDX-License-Identifier: Apache-2.0

package deliver_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/deliver"
	"github.com/remora-logs/remora/shared/origin"
	"github.com/remora-logs/remora/shared/output/settings"
)

func TestEverythingThatIsWrongIsNamedAtOnce(t *testing.T) {
	var c config.Common
	var d config.Driver
	err := deliver.Load(map[string]string{"LOGGING_OUTPUT": "kafka,kafak", "REMORA_WHEN_FULL": "explode",
		"REMORA_WORKERS": "0", "REMORA_SPOOL_MAX_BYTES": "12"}, &c, &d)
	for _, part := range []string{"LOGGING_OUTPUT", "kafak", "console", "REMORA_WHEN_FULL", "drop-oldest", "REMORA_WORKERS",
		"REMORA_SPOOL_MAX_BYTES"} {
		require.ErrorContains(t, err, part)
	}
	require.True(t, command.IsUsage(err))
}

func TestEverySettingIsDocumentedAndStandsOnce(t *testing.T) {
	for _, sections := range [][]settings.Section{
		deliver.Sections("Driver", new(config.Driver)), deliver.Sections("Sidecar", new(config.Sidecar), new(origin.Pod)),
	} {
		seen := map[string]bool{}
		for _, s := range sections {
			for _, one := range s.Settings {
				require.NotEmpty(t, one.Doc, one.Name)
				require.False(t, seen[one.Name], "%s occurs twice", one.Name)
				seen[one.Name] = true
			}
		}
	}
}
