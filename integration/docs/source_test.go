// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/remora-logs/remora/integration/engine"
)

// Every Go file names its licence in the form that tools read (https://spdx.dev).
func TestGoFilesNameTheirLicence(t *testing.T) {
	const line = "// SPDX-License-Identifier: Apache-2.0\n"
	files := 0
	walk(t, func(path string) {
		if !strings.HasSuffix(path, ".go") {
			return
		}
		files++
		content, err := os.ReadFile(filepath.Join(engine.Root(t), path))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(content), line) {
			t.Errorf("%s does not begin with %s", path, line)
		}
	})
	if files < 100 {
		t.Errorf("only %d Go files were found", files)
	}
}
