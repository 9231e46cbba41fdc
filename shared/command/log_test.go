// SPDX-License-Identifier: Apache-2.0

package command

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/config"
)

func TestErrorsGoElsewhere(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out, errors strings.Builder
		log := Logger(&config.Common{LogLevel: "info", LogFormat: format}, &out, &errors).With("a", 1).WithGroup("g")
		log.Debug("not this")
		log.Info("healthy", "k", "v")
		log.Warn("odd")
		log.Error("broken")
		require.Equal(t, 2, strings.Count(out.String(), "\n"), out.String())
		require.Contains(t, out.String(), "healthy")
		require.Contains(t, out.String(), "odd")
		require.Equal(t, 1, strings.Count(errors.String(), "\n"), errors.String())
		require.Contains(t, errors.String(), "broken")
	}
}
