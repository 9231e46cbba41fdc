// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/command"
	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/telemetry"
)

// settingsPoll is how often the file REMORA_CONFIG is checked for changes of its settings.
const settingsPoll = 5 * time.Second

// levelSetting is the only setting of the section that takes effect while the process runs.
const levelSetting = "REMORA_LOG_LEVEL"

// settingsWatch watches the section settings of the file REMORA_CONFIG and reports changes that take effect at the next start.
type settingsWatch struct {
	path      string
	variables map[string]string // of the environment; they take precedence
	log       *slog.Logger
	began     *config.File // the file at the start of the process

	seen, applied stamp

	mu      sync.Mutex
	pending []string // settings that a restart would change
	wrong   error
}

// stamp distinguishes two states of a file.
type stamp struct {
	modified time.Time
	size     int64
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

func newSettingsWatch(path string, variables map[string]string, log *slog.Logger) *settingsWatch {
	at := stampOf(path)
	return &settingsWatch{path: path, variables: variables, log: log, began: config.ReadFile(path), seen: at, applied: at}
}

func (w *settingsWatch) run(ctx context.Context) {
	if w.path == "" {
		return
	}
	every := time.NewTicker(settingsPoll)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			w.poll()
		}
	}
}

// poll applies a change once the file was the same twice, so that a half-written one is not used.
func (w *settingsWatch) poll() {
	now := stampOf(w.path)
	if now != w.seen {
		w.seen = now
		return
	}
	if now == w.applied || now == (stamp{}) {
		return
	}
	w.applied = now
	w.apply(config.ReadFile(w.path))
}

func (w *settingsWatch) apply(now *config.File) {
	environ := maps.Clone(w.variables)
	now.Merge(environ)
	var common config.Common
	err := errors.Join(now.Explain(config.Load(environ, &common, new(pipeline.Config)), environ), now.Check(AllSections()))
	changed := w.began.Changed(now, w.variables)
	if err == nil && w.variables[levelSetting] == "" {
		command.SetLevel(cmp.Or(now.Value(levelSetting), common.LogLevel))
	}
	changed = slices.DeleteFunc(changed, func(name string) bool { return name == levelSetting })
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrong = err; err != nil {
		notice.SettingsNotReloaded.Log(w.log, "file", w.path, "error", err)
		return
	}
	if w.pending = changed; len(changed) > 0 {
		notice.SettingsPending.Log(w.log, "settings", changed)
	}
}

// problems returns what the status reports about the file.
func (w *settingsWatch) problems() (all []telemetry.Problem) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrong != nil {
		all = append(all, telemetry.Problem{Key: config.FileVariable, Code: notice.SettingsNotReloaded.Code, Message: w.wrong.Error()})
	}
	if len(w.pending) > 0 {
		all = append(all, telemetry.Problem{Key: config.FileVariable, Code: notice.SettingsPending.Code, Warning: true,
			Message: "take effect at the next start: " + strings.Join(w.pending, ", ")})
	}
	return all
}
