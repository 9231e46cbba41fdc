// SPDX-License-Identifier: Apache-2.0

package fluentd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/probe"
	"github.com/remora-logs/remora/shared/output/internal/secure"
	"github.com/remora-logs/remora/shared/output/internal/template"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/output/internal/wire"
	"github.com/remora-logs/remora/shared/record"
)

const (
	// maxEntries is the approximate size of a message before compression. Fluent Bit closes the connection at 6 MB by default.
	maxEntries = 2 << 20
	// inFlight bounds the messages without an acknowledgement.
	inFlight = 8
)

// Output forwards to Fluentd.
type Output struct {
	config    Config
	tag       template.Template
	pool      *wire.Pool
	isolation web.Isolation
	works     sync.Pool // of *work
}

// Open returns the output. It sends nothing to the servers.
func Open(c Config) (*Output, error) {
	tag, err := template.Parse(c.Tag)
	if err != nil {
		return nil, err
	}
	var source *secure.Source
	if c.TLS {
		if source, err = c.Open("FLUENTD_"); err != nil {
			return nil, err
		}
	}
	o := &Output{config: c, tag: tag}
	o.isolation.Destination = o.AppendDestination
	options := wire.Options{Addresses: c.Addresses, TLS: source, Timeout: c.Timeout}
	if c.SharedKey.IsSet() {
		options.Hello = o.config.hello
	}
	o.pool = wire.NewPool(options)
	o.works.New = func() any {
		return &work{encoder: newEncoder(&o.config), tags: make(map[string]*tagged), sources: make(map[*record.Source]*tagged)}
	}
	return o, nil
}

// tagged holds the records of a batch that have one tag.
type tagged struct {
	tag   string
	index []int
}

// work is the reusable memory of a Write.
type work struct {
	*encoder
	tags    map[string]*tagged
	sources map[*record.Source]*tagged
	order   []*tagged
	name    []byte
	pending []pending
}

// pending is a message without an acknowledgement, which holds records of one tag.
type pending struct {
	chunk string
	index []int
}

// Write forwards b, in messages of one tag each, and returns when the server has acknowledged all of them.
func (o *Output) Write(ctx context.Context, b *record.Batch) error {
	if len(b.Records) == 0 {
		return ctx.Err()
	}
	return o.isolation.Write(ctx, b, o.send)
}

func (o *Output) send(ctx context.Context, b *record.Batch) error {
	c, err := o.pool.Get(ctx)
	if err != nil {
		return err
	}
	w := o.works.Get().(*work)
	defer o.works.Put(w)
	o.divide(w, b)
	left, wrote, err := o.forward(ctx, c, w, b)
	if err == nil {
		o.pool.Put(c)
		return nil
	}
	o.pool.Drop(c) // a late acknowledgement could arrive during the next exchange
	err = c.Fail(err)
	if len(left) == len(b.Records) {
		if wrote && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
			return &web.Suspect{Cause: err}
		}
		return err
	}
	slices.Sort(left)
	return &output.Partial{Retry: left, Cause: err}
}

// divide groups b's records by tag.
func (o *Output) divide(w *work, b *record.Batch) {
	clear(w.tags)
	clear(w.sources)
	w.order, w.pending = w.order[:0], w.pending[:0]
	for i := range b.Records {
		s := b.Records[i].Source
		t := w.sources[s]
		if t == nil {
			w.name = o.tag.Append(w.name[:0], s, nil)
			if t = w.tags[string(w.name)]; t == nil {
				t = &tagged{tag: string(w.name)}
				w.tags[t.tag] = t
				w.order = append(w.order, t)
			}
			w.sources[s] = t
		}
		t.index = append(t.index, i)
	}
}

// forward sends all messages of w and reads their acknowledgements. It returns the records that were not acknowledged, and
// whether anything was written.
func (o *Output) forward(ctx context.Context, c *wire.Conn, w *work, b *record.Batch) (left []int, wrote bool, err error) {
	for k, t := range w.order {
		for at := 0; at < len(t.index) && err == nil; {
			next := o.fill(w, b, t, at)
			var message []byte
			var chunk string
			if message, chunk, err = w.message(t.tag, next-at); err == nil {
				wrote = true
				c.Extend()
				_, err = c.Write(message)
			}
			w.pending = append(w.pending, pending{chunk, t.index[at:next]})
			at = next
			if err == nil && len(w.pending) >= inFlight {
				err = o.acknowledge(c, w)
			}
			if err != nil {
				left = append(left, t.index[at:]...)
			}
		}
		if err != nil {
			for _, rest := range w.order[k+1:] {
				left = append(left, rest.index...)
			}
			break
		}
	}
	for err == nil && len(w.pending) > 0 && o.config.Ack {
		err = o.acknowledge(c, w)
	}
	if err == nil && !o.config.Ack {
		err = c.Flush(ctx)
	}
	if err != nil {
		for _, p := range w.pending {
			left = append(left, p.index...)
		}
	}
	return left, wrote, err
}

// fill encodes as many records of t, from number at on, as go into a message, and returns the number of the next one.
func (o *Output) fill(w *work, b *record.Batch, t *tagged, at int) int {
	w.entries = w.entries[:0]
	for ; at < len(t.index) && len(w.entries) < maxEntries; at++ {
		w.entries = w.appendEntry(w.entries, &b.Records[t.index[at]])
	}
	return at
}

// acknowledge reads one acknowledgement. They may come in any order.
func (o *Output) acknowledge(c *wire.Conn, w *work) error {
	if !o.config.Ack {
		return nil
	}
	c.Extend()
	v, err := readValue(c.In, 3)
	if err != nil {
		return err
	}
	said, _ := v.(map[string]any)
	chunk, ok := said["ack"].(string)
	if !ok {
		if words, _ := v.([]any); len(words) > 0 && words[0] == "HELO" {
			return errors.New("the server asks for a shared key, but FLUENTD_SHARED_KEY is not set")
		}
		return errAnswer
	}
	i := slices.IndexFunc(w.pending, func(p pending) bool { return p.chunk == chunk })
	if i < 0 {
		return fmt.Errorf("an acknowledgement of something else, %s", web.Quote([]byte(chunk)))
	}
	w.pending = slices.Delete(w.pending, i, i+1)
	return nil
}

// AppendDestination implements output.Addressed.
func (o *Output) AppendDestination(dst []byte, r *record.Record) []byte {
	from := len(dst)
	dst = o.tag.Append(append(dst, "tag "...), r.Source, nil)
	return dst[:min(len(dst), from+output.MaxDestination)]
}

// Close closes the connections.
func (o *Output) Close() error { return o.pool.Close() }

// Check connects to each server, and proves the shared key if there is one.
func (o *Output) Check(ctx context.Context) (saw string, err error) {
	saw, err = o.pool.Check(ctx)
	var network net.Error
	if err != nil && o.config.SharedKey.IsSet() && !errors.As(err, &network) && !errors.Is(err, io.EOF) {
		err = &probe.Denied{Cause: err}
	}
	return saw, err
}
