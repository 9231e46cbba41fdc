// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/line"
	"github.com/remora-logs/remora/shared/output/internal/probe"
	"github.com/remora-logs/remora/shared/output/internal/template"
	"github.com/remora-logs/remora/shared/record"
)

// Output pushes to Redis.
type Output struct {
	config Config
	key    template.Template
	nodes  *nodes
	works  sync.Pool // of *work
}

// Open returns the output. It sends nothing to the servers.
func Open(c Config) (*Output, error) {
	key, err := template.Parse(c.Key)
	if err != nil {
		return nil, err
	}
	n, err := newNodes(c)
	if err != nil {
		return nil, err
	}
	o := &Output{config: c, key: key, nodes: n}
	o.works.New = func() any {
		return &work{keys: make(map[string]*keyed), sources: make(map[*record.Source]*keyed)}
	}
	return o, nil
}

// keyed holds the records of a batch that go to one key.
type keyed struct {
	key   string
	index []int
}

// work is the reusable memory of a Write.
type work struct {
	enc     record.Encoder
	keys    map[string]*keyed
	sources map[*record.Source]*keyed
	order   []*keyed // by their first record
	spare   []*keyed
	value   []byte
	id      []byte
	name    []byte
	request request
}

// request holds commands for one node that are sent at once.
type request struct {
	bytes    []byte
	commands []command
	address  string // of the node; empty for the configured servers
}

// command is a part of a request, with its records.
type command struct {
	of       *keyed
	from, to int // in of.index
	at, end  int // in the request's bytes
}

// chunk is the approximate size of a request, and of a command that pushes several records.
const chunk = 1 << 20

// Write pushes b and returns when the nodes have it. An error about one key holds back only that key's records.
func (o *Output) Write(ctx context.Context, b *record.Batch) error {
	if len(b.Records) == 0 {
		return ctx.Err()
	}
	w := o.works.Get().(*work)
	defer o.works.Put(w)
	o.divide(w, b)
	v := new(verdict)
	for _, k := range w.order {
		_, address := o.nodes.of(k.key)
		if address != w.request.address {
			o.flush(ctx, w, v)
			w.request.address = address
		}
		for at := 0; at < len(k.index); {
			at = o.append(w, b, k, at)
			if len(w.request.bytes) >= chunk {
				o.flush(ctx, w, v)
				w.request.address = address
			}
		}
	}
	o.flush(ctx, w, v)
	return v.result(len(b.Records))
}

// divide groups b's records by key.
func (o *Output) divide(w *work, b *record.Batch) {
	w.spare, w.order = append(w.spare, w.order...), w.order[:0]
	clear(w.keys)
	clear(w.sources)
	w.request = request{bytes: w.request.bytes[:0], commands: w.request.commands[:0]}
	for i := range b.Records {
		s := b.Records[i].Source
		k := w.sources[s]
		if k == nil {
			k = o.keyOf(w, s)
		}
		k.index = append(k.index, i)
	}
}

func (o *Output) keyOf(w *work, s *record.Source) *keyed {
	w.name = o.key.Append(w.name[:0], s, nil)
	k := w.keys[string(w.name)]
	if k == nil {
		if n := len(w.spare) - 1; n >= 0 {
			k, w.spare = w.spare[n], w.spare[:n]
			k.index = k.index[:0]
		} else {
			k = new(keyed)
		}
		k.key = string(w.name)
		w.keys[k.key] = k
		w.order = append(w.order, k)
	}
	w.sources[s] = k
	return k
}

// append adds a command for records of k, from number at on, and returns the number of the next record.
func (o *Output) append(w *work, b *record.Batch, k *keyed, at int) int {
	r := &w.request
	c := command{of: k, from: at, at: len(r.bytes)}
	if o.config.Datatype == "list" {
		at = o.appendPush(w, b, k, at)
	} else {
		w.value = line.AppendIdentified(w.value[:0], &w.enc, &b.Records[k.index[at]])
		r.bytes = o.appendOne(w, r.bytes, k.key, &b.Records[k.index[at]])
		at++
	}
	c.to, c.end = at, len(r.bytes)
	r.commands = append(r.commands, c)
	return at
}

// appendPush adds an RPUSH. The number of its values is known only when they are written, so its head, which holds the number,
// is put into room before them.
func (o *Output) appendPush(w *work, b *record.Batch, k *keyed, at int) int {
	r := &w.request
	start := len(r.bytes)
	room := len("*1234567890\r\n$5\r\nRPUSH\r\n$1234567890\r\n\r\n") + len(k.key)
	r.bytes = append(r.bytes, make([]byte, room)...)
	from := at
	for ; at < len(k.index) && len(r.bytes)-start < chunk; at++ {
		w.value = line.AppendIdentified(w.value[:0], &w.enc, &b.Records[k.index[at]])
		r.bytes = appendString(r.bytes, w.value)
	}
	front := appendString(appendString(appendArray(w.name[:0], 2+at-from), "RPUSH"), k.key)
	w.name = front
	gap := room - len(front)
	copy(r.bytes[start:], front)
	r.bytes = slices.Delete(r.bytes, start+len(front), start+len(front)+gap)
	return at
}

// appendOne appends the command for one record, whose JSON is w.value.
func (o *Output) appendOne(w *work, dst []byte, key string, r *record.Record) []byte {
	if o.config.Datatype == "channel" {
		dst = appendString(appendArray(dst, 3), "PUBLISH")
		return appendString(appendString(dst, key), w.value)
	}
	words := 5
	if o.config.MaxLength > 0 {
		words += 3
	}
	if o.config.Idempotent {
		words += 3
	}
	dst = appendString(appendString(appendArray(dst, words), "XADD"), key)
	if o.config.Idempotent {
		w.id = r.AppendID(w.id[:0])
		dst = appendString(appendString(appendString(dst, "IDMP"), r.Source.ID), w.id)
	}
	if o.config.MaxLength > 0 {
		w.id = strconv.AppendInt(w.id[:0], o.config.MaxLength, 10)
		dst = appendString(appendString(appendString(dst, "MAXLEN"), "~"), w.id)
	}
	return appendString(appendString(appendString(dst, "*"), "record"), w.value)
}

// AppendDestination implements output.Addressed.
func (o *Output) AppendDestination(dst []byte, r *record.Record) []byte {
	return appendDestination(dst, string(o.key.Append(nil, r.Source, nil)))
}

func appendDestination(dst []byte, key string) []byte {
	const kind = "key "
	return append(append(dst, kind...), key[:min(len(key), output.MaxDestination-len(kind))]...)
}

// Close closes the connections.
func (o *Output) Close() error { return o.nodes.Close() }

// Check logs in to each server and sends PING to one, for which a user with few rights may have no permission.
func (o *Output) Check(ctx context.Context) (saw string, err error) {
	if saw, err = o.nodes.set.Check(ctx); err == nil {
		err = o.ping(ctx)
	}
	var said *failure
	if errors.As(err, &said) {
		switch said.kind() {
		case "NOPERM":
			return saw + "; the user may not PING", nil
		case "WRONGPASS", "NOAUTH", "ERR":
			err = &probe.Denied{Cause: err}
		}
	}
	return saw, err
}

func (o *Output) ping(ctx context.Context) error {
	c, err := o.nodes.set.Get(ctx)
	if err != nil {
		return err
	}
	defer o.nodes.set.Drop(c)
	if _, _, err = do(c, "PING"); err != nil {
		return c.Fail(err)
	}
	return nil
}
