// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/declare"
)

// fluentd's names are the default where records have its shape, for the formats that have a schema.
func TestFluentdsNamesAreItsModesDefault(t *testing.T) {
	for _, c := range []struct{ mode, format, declared, want string }{
		{"fluentd", "nginx", "", "fluentd"}, {"fluentd", "apache_error", "", "fluentd"}, {"fluentd", "nginx", "ecs", "ecs"},
		{"fluentd", "json", "", ""}, {"filebeat", "nginx", "", ""}, {"", "nginx", "", ""},
	} {
		d := &Delivery{}
		d.options.Common.Compat = c.mode
		declaration := declare.Declaration{Format: c.format}
		if c.declared != "" {
			declaration.FormatOptions = map[string]string{"schema": c.declared}
		}
		require.Equal(t, c.want, d.compatSchema(declaration).FormatOptions["schema"], "%v", c)
		require.Equal(t, c.declared, declaration.FormatOptions["schema"], "the declaration stays as it is")
	}
}
