// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/registry"
	"github.com/remora-logs/remora/shared/pipeline"
	"github.com/remora-logs/remora/shared/telemetry"
)

// reloadEvery is how often the file REMORA_CONFIG is checked for changes of its outputs.
var reloadEvery = time.Second

// namedOutputs are the outputs of the file REMORA_CONFIG that LOGGING_OUTPUT names.
type namedOutputs struct {
	path        string
	startedWith version // of the file
	outputs     map[string]*replaceable

	// first is the catalog at the start. It determines the kinds of outputs: decisions that depend on a kind, such as which
	// topics a container may write to, hold as long as the process.
	first   *registry.Catalog
	catalog *registry.Catalog // in effect; owned by the goroutine of watchOutputs

	mu    sync.Mutex
	wrong error // what is wrong with the file now
}

// replaceNamed makes those sinks replaceable that the file names. begin is called as in replaceable, with the output's name.
func replaceNamed(path string, outputs *registry.Catalog, sinks map[string]pipeline.Sink, begin func(string, output.Output)) *namedOutputs {
	n := &namedOutputs{path: path, startedWith: versionOf(path), outputs: map[string]*replaceable{}, first: outputs, catalog: outputs}
	for name, s := range sinks {
		if outputs.IsNamed(name) {
			n.outputs[name] = newReplaceable(name, s.Output)
			n.outputs[name].begin = func(o output.Output) { begin(name, o) }
			s.Output = n.outputs[name]
			sinks[name] = s
		}
	}
	return n
}

// faults returns what is wrong with the file.
func (n *namedOutputs) faults() []telemetry.Fault {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.wrong == nil {
		return nil
	}
	return []telemetry.Fault{{Component: "settings", Code: notice.OutputsStay.Code, Message: n.wrong.Error() + ": the outputs of REMORA_CONFIG stay as they were until this is corrected"}}
}

// version identifies a state of a file. It changes when the file is written or replaced.
type version struct {
	dev, ino   uint64
	size       int64
	mtime      unix.Timespec
	unreadable bool
}

func versionOf(path string) version {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG { // opening a FIFO would block
		return version{unreadable: true}
	}
	return version{dev: st.Dev, ino: st.Ino, size: st.Size, mtime: st.Mtim}
}

// watchOutputs applies changes of the file until ctx ends. It applies a change when two successive checks see the same version,
// so that it does not read a half-written file.
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
			d.reloadOutputs(seen)
		}
	}
}

// reloadOutputs replaces the outputs whose settings in the file have changed. If anything in its section outputs is wrong,
// nothing changes.
func (d *Delivery) reloadOutputs(is version) {
	n, log := d.named, d.options.Log
	next, opened, err := n.read(d.options.Environ, is)
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
	n.catalog = next
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
			log.Info("output has new settings", "output", name)
		}
	}
}

// read reads the file, and opens the outputs whose settings have changed.
func (n *namedOutputs) read(environ map[string]string, is version) (next *registry.Catalog, opened map[string]pipeline.Sink, err error) {
	if is.unreadable {
		return nil, nil, fmt.Errorf("REMORA_CONFIG: %s is not there, or is no regular file", n.path)
	}
	if next, err = registry.ReadCatalog(environ, n.path); err == nil {
		err = next.Unread()
	}
	if err != nil {
		return nil, nil, err
	}
	var changed []string
	var wrong []error
	for name := range n.outputs {
		if !next.IsNamed(name) || n.catalog.SameNamed(name, next) {
			continue
		}
		if kind := n.first.Kind(name); next.Kind(name) != kind {
			wrong = append(wrong, fmt.Errorf("REMORA_CONFIG: outputs.%s.kind was %s at the start, and can't change while Remora runs: restart it, or choose another name", name, kind))
		}
		changed = append(changed, name)
	}
	if len(wrong) > 0 {
		return nil, nil, errors.Join(wrong...)
	}
	opened, err = next.OpenAll(changed, 0)
	return next, opened, err
}
