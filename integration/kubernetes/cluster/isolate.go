// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// groups is the control group that the containers' lie in, below each hierarchy: it is not isolated, but cleaned up.
const groups = "remora-kubernetes"

// tunables are what a kubelet sets for the whole machine, with the values that it wants to see.
var tunables = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// isolate fits the namespaces out, so that the servers find what they want and the machine stays as it is.
func (c *Cluster) isolate(context.Context) error {
	for _, args := range [][]string{{"link", "set", "lo", "up"}, {"address", "add", nodeIP + "/32", "dev", "lo"}} {
		if _, err := output(exec.Command("ip", args...)); err != nil {
			return err
		}
	}
	// As on any node, what is mounted from now on is seen in Pods that ask for it.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil {
		return fmt.Errorf("sharing mounts with Pods: %w", err)
	}
	// containerd's shims have their sockets in /run, whatever its configuration says, and the kubelet links logs in /var/log.
	for _, dir := range []string{"/run", "/var/log"} {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("mounting a tmpfs on %s: %w", dir, err)
		}
	}
	for name, value := range tunables {
		path, err := c.write(filepath.Join("sysctl", name), value+"\n")
		if err != nil {
			return err
		}
		if err := syscall.Mount(path, filepath.Join("/proc/sys", name), "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("covering the kernel's %s: %w", name, err)
		}
	}
	return nil
}

// unmountBelow unmounts what is mounted below dir, so that removing dir does not walk into it.
func unmountBelow(dir string) {
	mounts, _ := os.ReadFile("/proc/mounts")
	var below []string
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			below = append(below, fields[1])
		}
	}
	for _, path := range slices.Backward(below) {
		_ = syscall.Unmount(path, syscall.MNT_DETACH)
	}
}

// removeGroups removes the containers' control groups, the inner ones first. Those that are still in use stay.
func removeGroups() {
	for _, pattern := range []string{"/sys/fs/cgroup/" + groups, "/sys/fs/cgroup/*/" + groups} {
		roots, _ := filepath.Glob(pattern) // its only error is that of a bad pattern
		for _, root := range roots {
			var all []string
			_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					all = append(all, path)
				}
				return nil
			})
			for _, dir := range slices.Backward(all) {
				_ = os.Remove(dir)
			}
		}
	}
}
