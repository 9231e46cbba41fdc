// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/remora-logs/remora/shared/checkpoint"
)

// inheritCheckpoints lets outputs that replace others resume where those had acknowledged. If LOGGING_OUTPUT changes from file
// to kafka, what file has acknowledged is not delivered again to kafka. A log that went to several outputs that are gone
// resumes at the position of the slowest. Losses are not inherited, because they were another output's.
//
// An output that is added beside one that remains starts with everything that still exists.
func inheritCheckpoints(store *checkpoint.Store, outputs []string, log *slog.Logger) error {
	type logKey struct{ stream, declaration string }
	gone := map[logKey]checkpoint.Entry{}
	kept := map[logKey]bool{}
	err := store.Each(func(k checkpoint.Key, e checkpoint.Entry) {
		at := logKey{k.Stream, k.Declaration}
		if slices.Contains(outputs, k.Output) {
			kept[at] = true
			return
		}
		if before, ok := gone[at]; !ok || e.Low < before.Low {
			e.Losses = checkpoint.Losses{}
			gone[at] = e
		}
	})
	if err != nil {
		return err
	}
	put := map[checkpoint.Key]checkpoint.Entry{}
	for at, e := range gone {
		if kept[at] {
			continue
		}
		for _, output := range outputs {
			put[checkpoint.Key{Stream: at.stream, Declaration: at.declaration, Output: output}] = e
		}
	}
	if len(put) == 0 {
		return nil
	}
	if err := store.Commit(put, nil); err != nil {
		return fmt.Errorf("the new outputs' checkpoints: %w", err)
	}
	log.Info("LOGGING_OUTPUT has changed: logs resume where the previous outputs had acknowledged", "logs", len(put), "outputs", outputs)
	return nil
}
