// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/output/registry"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/telemetry"
)

// reloadEvery is how often the file REMORA_CONFIG is looked at.
var reloadEvery = time.Second

// namedOutputs are the outputs of the file REMORA_CONFIG that LOGGING_OUTPUT names.
type namedOutputs struct {
	path        string
	startedWith version // of the file
	outputs     map[string]*replaceable

	mu      sync.Mutex
	catalog *registry.Catalog // in effect
	wrong   error             // of the file as it is now
}

// replaceNamed makes those of sinks that the file names replaceable.
func replaceNamed(path string, outputs *registry.Catalog, sinks map[string]pipeline.Sink) *namedOutputs {
	n := &namedOutputs{path: path, startedWith: versionOf(path), outputs: map[string]*replaceable{}, catalog: outputs}
	for name, s := range sinks {
		if outputs.IsNamed(name) {
			n.outputs[name] = newReplaceable(name, s.Output)
			s.Output = n.outputs[name]
			sinks[name] = s
		}
	}
	return n
}

// kind is as Catalog.Kind.
func (n *namedOutputs) kind(name string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.catalog.Kind(name)
}

// faults are what is wrong with the file.
func (n *namedOutputs) faults() []telemetry.Fault {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.wrong == nil {
		return nil
	}
	return []telemetry.Fault{{Component: "settings", Code: notice.OutputsStay.Code, Message: n.wrong.Error() + ": the outputs of REMORA_CONFIG stay as they were until this is corrected"}}
}

// version is what differs when a file was written or replaced.
type version struct {
	dev, ino   uint64
	size       int64
	mtime      unix.Timespec
	unreadable bool
}

func versionOf(path string) version {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return version{unreadable: true}
	}
	return version{dev: st.Dev, ino: st.Ino, size: st.Size, mtime: st.Mtim}
}

// watchOutputs puts changes of the file into effect until ctx ends. A change counts when two looks found the same, so that a
// half-written file does not.
func (d *Delivery) watchOutputs(ctx context.Context) {
	n := d.named
	if len(n.outputs) == 0 {
		return
	}
	seen := n.startedWith
	ticker := time.NewTicker(reloadEvery)
	defer ticker.Stop()
	for settled := true; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if now := versionOf(n.path); now != seen {
			seen, settled = now, false
		} else if !settled {
			settled = true
			d.reloadOutputs()
		}
	}
}

// reloadOutputs replaces the outputs that the file describes otherwise than before. If anything in its section outputs is wrong,
// nothing changes.
func (d *Delivery) reloadOutputs() {
	n, log := d.named, d.options.Log
	next, err := registry.ReadCatalog(d.options.Environ, n.path)
	if err == nil {
		err = next.Unread()
	}
	opened := map[string]pipeline.Sink{}
	if err == nil {
		var changed []string
		for name := range n.outputs {
			if next.IsNamed(name) && !n.catalog.SameNamed(name, next) {
				changed = append(changed, name)
			}
		}
		opened, err = next.OpenAll(changed, 0)
	}
	n.mu.Lock()
	n.wrong = err
	n.mu.Unlock()
	if err != nil {
		notice.OutputsStay.Log(log, "error", err)
		return
	}
	if unused := next.Unused(d.options.Outputs); len(unused) > 0 && len(n.catalog.Unused(d.options.Outputs)) != len(unused) {
		notice.OutputsUnused.Log(log, "outputs", unused)
	}
	before := n.catalog
	n.mu.Lock()
	n.catalog = next
	n.mu.Unlock()
	for name, o := range n.outputs {
		switch {
		case before.SameNamed(name, next):
		case !next.IsNamed(name):
			notice.OutputWithdrawn.Log(log, "output", name)
			if err := o.replace(nil); err != nil {
				notice.ReplacedNotClosed.Log(log, "output", name, "error", err)
			}
		default:
			if err := o.replace(opened[name].Output); err != nil {
				notice.ReplacedNotClosed.Log(log, "output", name, "error", err)
			}
			log.Info("output has new settings", "output", name, "kind", next.Kind(name))
		}
	}
}
