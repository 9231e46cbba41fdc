// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"log/slog"
	"path/filepath"

	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/pipeline"
)

// rememberer is an output that can find out after a kill what it had written, if it may note it in a file.
type rememberer interface {
	Remember(path string) error
}

// rememberWritten gives each rememberer a file in the state directory.
func rememberWritten(sinks map[string]pipeline.Sink, stateDir string, log *slog.Logger) {
	for name, s := range sinks {
		rememberWrittenBy(name, s.Output, stateDir, log)
	}
}

func rememberWrittenBy(name string, o output.Output, stateDir string, log *slog.Logger) {
	if r, ok := o.(rememberer); ok {
		if err := r.Remember(filepath.Join(stateDir, "written-"+name)); err != nil {
			notice.WrittenNotNoted.Log(log, "output", name, "error", err)
		}
	}
}
