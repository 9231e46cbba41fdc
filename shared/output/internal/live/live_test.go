// SPDX-License-Identifier: Apache-2.0

package live

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestContentFollowsTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(path, []byte("one"), 0o600))
	synctest.Test(t, func(t *testing.T) {
		f, err := Open(path)
		require.NoError(t, err)
		read := func() string {
			content, _ := f.Content()
			return string(content)
		}
		require.Equal(t, "one", read())

		// As Kubernetes does it: a new file is put in the place of the old one.
		require.NoError(t, os.WriteFile(path+".new", []byte("two"), 0o600))
		require.NoError(t, os.Rename(path+".new", path))
		require.Equal(t, "one", read(), "it is not examined for each request")
		time.Sleep(checkEvery)
		require.Equal(t, "two", read())

		require.NoError(t, os.Remove(path))
		time.Sleep(checkEvery)
		require.Equal(t, "two", read(), "the last content stays while there is none")

		require.NoError(t, os.WriteFile(path, []byte("three"), 0o600))
		time.Sleep(checkEvery)
		_, version := f.Content()
		require.Equal(t, "three", read())
		require.Equal(t, 3, version)
	})
}

func TestHugeFileIsRefused(t *testing.T) {
	_, err := Open("/dev/zero")
	require.ErrorContains(t, err, "larger than")
}
