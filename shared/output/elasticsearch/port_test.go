// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHostsWithoutAPort(t *testing.T) {
	for host, want := range map[string]string{
		"es-1": "es-1:9200", "10.0.0.1": "10.0.0.1:9200", "es-1:80": "es-1:80", "es-1/path": "es-1:9200/path", "u:p@es-1": "u:p@es-1:9200",
		"u:p@es-1:1": "u:p@es-1:1", "[::1]": "[::1]:9200", "::1": "[::1]:9200", "[::1]:9201": "[::1]:9201",
		"https://es-1": "https://es-1", "http://es-1:9201": "http://es-1:9201", "": "",
	} {
		require.Equal(t, want, withPort(host, 9200), host)
	}
}
