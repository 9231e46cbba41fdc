// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Links of the host lead where they lead there, never out of its root.
func TestSee(t *testing.T) {
	h := host{t.TempDir()}
	require.NoError(t, os.MkdirAll(filepath.Join(h.root, "data/docker/containers"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(h.root, "var/lib"), 0o755))
	require.NoError(t, os.Symlink("/data/docker", filepath.Join(h.root, "var/lib/docker")))
	require.NoError(t, os.Symlink("../../../../../../etc", filepath.Join(h.root, "var/lib/out")))
	for path, want := range map[string]string{
		"/var/lib/docker/containers":   "/data/docker/containers",
		"/var/lib/docker/missing/file": "/data/docker/missing/file",
		"/var/lib/out/shadow":          "/etc/shadow",
		"/../../etc":                   "/etc",
		"/":                            "",
	} {
		require.Equal(t, h.root+want, h.see(path), path)
	}
	require.Equal(t, "/data/docker", h.path(h.see("/var/lib/docker")))
	require.Equal(t, "/var/log", host{}.see("/var/log"))
	require.Equal(t, "/var/log", host{}.path("/var/log"))
}

func TestPropagation(t *testing.T) {
	require.True(t, follows("1 2 8:1 / /host ro master:5 - ext4 /dev/sda ro\n", "/host"))
	require.True(t, follows("1 2 8:1 / /host ro shared:5 - ext4 /dev/sda ro\n", "/host"))
	require.False(t, follows("1 2 8:1 / /host ro - ext4 /dev/sda ro\n3 1 8:2 / /host/var rw master:1 - ext4 /dev/sdb rw\n", "/host"))
	require.True(t, follows("", "/host"))
}

func TestFindHost(t *testing.T) {
	dir := t.TempDir()
	h, err := findHost(dir + "/")
	require.NoError(t, err)
	require.Equal(t, dir, h.root)
	h, err = findHost("/")
	require.NoError(t, err)
	require.Equal(t, "", h.root)
	_, err = findHost(filepath.Join(dir, "missing"))
	require.ErrorContains(t, err, "mountPropagation: HostToContainer")
}
