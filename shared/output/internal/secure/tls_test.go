// SPDX-License-Identifier: Apache-2.0

package secure

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatIsWrongNamesTheVariable(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, []byte("nothing"), 0o600))
	none := File{Variable: "X_CERT"}
	for want, files := range map[string][3]File{
		"X_CA: open /does/not/exist":     {{"X_CA", "/does/not/exist"}, none, {"X_KEY", ""}},
		"holds no certificate":           {{"X_CA", empty}, none, {"X_KEY", ""}},
		"X_CERT and X_KEY go together":   {{"X_CA", ""}, {"X_CERT", empty}, {"X_KEY", ""}},
		"X_CERT, X_KEY: tls: failed to":  {{"X_CA", ""}, {"X_CERT", empty}, {"X_KEY", empty}},
		"X_CERT, X_KEY: open /not/there": {{"X_CA", ""}, {"X_CERT", "/not/there"}, {"X_KEY", empty}},
	} {
		_, err := Config(files[0], files[1], files[2], true)
		require.ErrorContains(t, err, want)
	}
	c, err := Config(File{}, File{}, File{}, false)
	require.NoError(t, err)
	require.True(t, c.InsecureSkipVerify)
}
