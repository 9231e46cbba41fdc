// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output/settings"
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

// The file that log-pilot's users have holds one cluster's password; another cluster must not get to see it.
func TestCredentialFileIsNotForOneOfSeveral(t *testing.T) {
	before := credentialFile
	t.Cleanup(func() { credentialFile = before })
	credentialFile = filepath.Join(t.TempDir(), "es_credential")
	require.NoError(t, os.WriteFile(credentialFile, []byte("user:of-another-cluster"), 0o600))
	for only, want := range map[bool]bool{false: true, true: false} {
		var c Config
		require.NoError(t, settings.Load(map[string]string{"ELASTICSEARCH_HOSTS": "es:9200"}, &c))
		c.onlySettings = only
		login, err := c.login(nil)
		require.NoError(t, err)
		require.Equal(t, want, login.Credentials != nil, "only settings: %v", only)
	}
}
