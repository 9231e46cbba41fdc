// SPDX-License-Identifier: Apache-2.0

package podlogs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/node/containers"
	"github.com/remora-logs/remora/node/containers/podlogs"
)

func TestList(t *testing.T) {
	host := t.TempDir()
	see := func(path string) string { return filepath.Join(host, path) }
	i := podlogs.New("/var/log/pods", see)
	_, err := i.List(t.Context())
	require.ErrorContains(t, err, "directory of Pods' logs")
	for _, dir := range []string{"shop_web-0_uid1/web", "shop_web-0_uid1/side", "kube-system_static_0123abc/etcd", "no-pod/x", "a_b_c_d/x", "__/x"} {
		require.NoError(t, os.MkdirAll(see("/var/log/pods/"+dir), 0o755))
	}
	require.NoError(t, os.WriteFile(see("/var/log/pods/shop_web-0_uid1/file"), nil, 0o600))
	require.NoError(t, os.Symlink("/etc", see("/var/log/pods/shop_link_uid")))
	names := func() (names []string) {
		all, err := i.List(t.Context())
		require.NoError(t, err)
		for _, c := range all {
			names = append(names, c.ID)
		}
		return names
	}
	require.ElementsMatch(t, []string{"shop_web-0_uid1/web", "shop_web-0_uid1/side", "kube-system_static_0123abc/etcd"}, names())
	c, err := i.Inspect(t.Context(), "shop_web-0_uid1/web")
	require.NoError(t, err)
	require.Equal(t, containers.Container{
		Runtime: "podlogs", ID: "shop_web-0_uid1/web", Running: true,
		Pod: containers.Pod{Namespace: "shop", Name: "web-0", UID: "uid1", Container: "web"},
		Log: containers.Log{Driver: "cri", Form: containers.CRI, Dir: "/var/log/pods/shop_web-0_uid1/web", Pattern: "*.log{,.*}"},
	}, c)

	require.NoError(t, os.MkdirAll(see("/var/log/pods/shop_web-0_uid1/third"), 0o755)) // within the same moment
	require.NoError(t, os.RemoveAll(see("/var/log/pods/kube-system_static_0123abc")))
	require.ElementsMatch(t, []string{"shop_web-0_uid1/web", "shop_web-0_uid1/side", "shop_web-0_uid1/third"}, names())
	_, err = i.Inspect(t.Context(), "kube-system_static_0123abc/etcd")
	require.ErrorIs(t, err, containers.ErrGone)
}
