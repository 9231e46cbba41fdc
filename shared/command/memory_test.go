// SPDX-License-Identifier: Apache-2.0

package command

import (
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCgroupLimit(t *testing.T) {
	for name, c := range map[string]struct {
		groups string
		files  map[string]string
		want   int64
	}{
		"none":                 {"0::/pod\n", nil, math.MaxInt64},
		"version 2":            {"0::/pod/app\n", map[string]string{"/sys/fs/cgroup/pod/app/memory.max": "1000\n"}, 1000},
		"a group above":        {"0::/pod/app\n", map[string]string{"/sys/fs/cgroup/pod/app/memory.max": "max\n", "/sys/fs/cgroup/pod/memory.max": "500\n"}, 500},
		"the container's own":  {"0::/pod/app\n", map[string]string{"/sys/fs/cgroup/memory.max": "700\n"}, 700},
		"version 1":            {"5:cpu:/x\n4:memory:/pod\n", map[string]string{"/sys/fs/cgroup/memory/pod/memory.limit_in_bytes": "900\n"}, 900},
		"version 1, unlimited": {"4:memory:/\n", map[string]string{"/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, math.MaxInt64},
		"rubbish":              {"what\n::\n0::/x\n", map[string]string{"/sys/fs/cgroup/x/memory.max": "many\n"}, math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, cgroupLimit(c.groups, func(path string) ([]byte, error) {
				if text, ok := c.files[path]; ok {
					return []byte(text), nil
				}
				return nil, errors.New("no such file")
			}))
		})
	}
}
