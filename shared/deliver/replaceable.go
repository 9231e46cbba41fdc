// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/record"
)

// replaceable is an output of the file REMORA_CONFIG whose settings may change, or which the file may cease to name, while it is
// in use. The pipeline sees one output: what the old one did not acknowledge is sent again to the new one, with the same
// identities. While there is none, records wait.
type replaceable struct {
	name string
	// begin, if not nil, is called with each output that replaces another, after that one is closed and before the first write.
	begin func(output.Output)

	replacing sync.Mutex // held by replace and Close

	mu      sync.Mutex
	current *leased       // nil while there is none
	ready   chan struct{} // closed when a replacement has ended; nil while there is no replacement
	closed  bool          // by the pipeline
}

// leased is an output with its writes under way.
type leased struct {
	output.Output
	writers sync.WaitGroup
	ctx     context.Context // of all its writes
	cancel  context.CancelFunc
}

func lease(o output.Output) *leased {
	l := &leased{Output: o}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

func newReplaceable(name string, o output.Output) *replaceable {
	return &replaceable{name: name, current: lease(o)}
}

// acquire returns the output to write to, once no replacement is under way. The caller must call writers.Done.
func (r *replaceable) acquire(ctx context.Context) (*leased, error) {
	for {
		r.mu.Lock()
		current, ready := r.current, r.ready
		if ready == nil && current != nil {
			current.writers.Add(1)
		}
		r.mu.Unlock()
		switch {
		case ready == nil && current == nil:
			return nil, fmt.Errorf("REMORA_CONFIG does not name the output %s any more: its logs are kept and wait until it does, or until LOGGING_OUTPUT is changed and Remora restarted", r.name)
		case ready == nil:
			return current, nil
		}
		select {
		case <-ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Write implements output.Output.
func (r *replaceable) Write(ctx context.Context, b *record.Batch) error {
	o, err := r.acquire(ctx)
	if err != nil {
		return err
	}
	defer o.writers.Done()
	writing, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(o.ctx, stop)()
	err = o.Output.Write(writing, b)
	if err != nil && ctx.Err() == nil && o.ctx.Err() != nil {
		return fmt.Errorf("the output %s is replaced by one with other settings", r.name)
	}
	return err
}

// finishWrites is how long writes under way may take when their output is replaced. What is not acknowledged by then is sent
// again to the new one.
const finishWrites = 5 * time.Second

// replace replaces the output by next, nil for none. next is used only after the old one is closed, because two outputs must
// not write the same file.
func (r *replaceable) replace(next output.Output) error {
	r.replacing.Lock()
	defer r.replacing.Unlock()
	r.mu.Lock()
	old, ready := r.current, make(chan struct{})
	r.ready = ready
	r.mu.Unlock()
	var err error
	if old != nil {
		timer := time.AfterFunc(finishWrites, old.cancel)
		old.writers.Wait()
		timer.Stop()
		old.cancel()
		err = r.end(old.Output, next)
	}
	if next != nil && r.begin != nil {
		r.begin(next)
	}
	r.mu.Lock()
	r.current, r.ready = nil, nil
	closed := r.closed
	if next != nil && !closed {
		r.current = lease(next)
	}
	r.mu.Unlock()
	close(ready)
	if next != nil && closed {
		err = errors.Join(err, next.Close())
	}
	return err
}

// yielder is an output that can be closed while checkpoints do not cover all that it wrote. Yield closes it and leaves its notes
// of that to the output that follows.
type yielder interface{ Yield() error }

// end closes an output that is replaced by next, nil for none. Checkpoints may not cover all that it wrote yet.
func (r *replaceable) end(old, next output.Output) error {
	r.mu.Lock()
	last := r.closed && next == nil
	r.mu.Unlock()
	if y, ok := old.(yielder); ok && !last {
		return y.Yield()
	}
	return old.Close()
}

// Close implements output.Output.
func (r *replaceable) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	return r.replace(nil)
}

// now returns the current output; nil if there is none.
func (r *replaceable) now() output.Output {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current == nil {
		return nil
	}
	return r.current.Output
}

// AppendDestination implements output.Addressed. The name is empty if the output has only one destination.
func (r *replaceable) AppendDestination(dst []byte, of *record.Record) []byte {
	if a, ok := r.now().(output.Addressed); ok {
		return a.AppendDestination(dst, of)
	}
	return dst
}

// Workers implements output.Concurrent. The pipeline calls it once.
func (r *replaceable) Workers() int {
	if c, ok := r.now().(output.Concurrent); ok {
		return c.Workers()
	}
	return 0
}

// Owns implements fileWriter.
func (r *replaceable) Owns(path string, dev, ino uint64) bool {
	o, ok := r.now().(fileWriter)
	return ok && o.Owns(path, dev, ino)
}
