// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOverlay(t *testing.T) {
	for name, c := range map[string]struct {
		mounts, upper string
		lower         []string
	}{
		"overlay": {`657 475 0:134 / / rw,relatime - overlay overlay rw,lowerdir=/s/2/fs:/s/1/fs,upperdir=/s/3\0404/fs,workdir=/s/3/work
658 657 0:137 / /proc rw - proc proc rw`, "/s/3 4/fs", []string{"/s/2/fs", "/s/1/fs"}},
		"another below": {`1 0 8:1 / / rw - ext4 /dev/sda rw
2 1 0:5 / / rw - overlay overlay rw,upperdir=/u`, "/u", nil},
		"another above": {`2 1 0:5 / / rw - overlay overlay rw,upperdir=/u
1 0 8:1 / / rw - btrfs /dev/sda rw`, "", nil},
		"relative lower":    {`2 1 0:5 / / rw shared:1 - overlay overlay rw,lowerdir=2/fs:/s/1/fs,upperdir=/u`, "/u", []string{"/s/1/fs"}},
		"elsewhere":         {`2 1 0:5 / /other rw - overlay overlay rw,upperdir=/u`, "", nil},
		"what is no mounts": {"hello - \n - - \n\n", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			upper, lower := overlay(strings.NewReader(c.mounts), func(at string) bool { return at == "/" })
			require.Equal(t, c.upper, upper)
			require.Equal(t, c.lower, lower)
		})
	}
}

func TestTheRuntimesOwnMount(t *testing.T) {
	const mounts = `1 0 0:5 / /host/run/containerd/io.containerd.runtime.v2.task/k8s.io/abc/rootfs rw master:1 - overlay overlay rw,upperdir=/abc
2 0 0:6 / /host/run/containerd/io.containerd.runtime.v2.task/k8s.io/abcd/rootfs rw master:1 - overlay overlay rw,upperdir=/abcd
3 0 0:7 / /var/lib/docker/rootfs/overlayfs/docker1 rw - overlay overlay rw,upperdir=/docker1`
	for id, want := range map[string]string{"abc": "/abc", "abcd": "/abcd", "docker1": "/docker1", "ab": "", "": ""} {
		upper, _ := overlay(strings.NewReader(mounts), func(at string) bool { return holds(at, id) })
		require.Equal(t, want, upper, id)
	}
}
