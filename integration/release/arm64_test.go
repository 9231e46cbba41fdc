// SPDX-License-Identifier: Apache-2.0

//go:build release

package release

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// The sidecar for arm64 passes tests of the sidecar as a process, under an emulation that has no system call newer than
// Linux 5.5.
func TestSidecarForARM(t *testing.T) {
	dir := "remora-" + version + "-linux-arm64"
	contents, _ := unpacked(t, read(t, built(t, dir+".tar.gz")))
	bin := t.TempDir()
	program := filepath.Join(bin, "arm64")
	wrapper := fmt.Sprintf("#!/bin/sh\nexec qemu-aarch64-static %s \"$@\"\n", program)
	for path, text := range map[string][]byte{program: contents[dir+"/remora-sidecar"], filepath.Join(bin, "remora-sidecar"): []byte(wrapper)} {
		if err := os.WriteFile(path, text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s", run(t, "..", []string{"REMORA_TEST_BIN=" + bin}, "go", "test", "-count=1", "-v",
		"-run", "^(TestGoesOnWhereItWas|TestBackendDown|TestConsoleRaw|TestRecordOfAFile|TestWrongSettings|TestWrongDeclarationStopsNothing)$", "./sidecar"))
}
