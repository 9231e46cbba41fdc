// SPDX-License-Identifier: Apache-2.0

package sls

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"sync"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/probe"
	"github.com/remora-logs/remora/shared/output/internal/template"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/record"
)

// Output writes to the Simple Log Service.
type Output struct {
	config  Config
	topic   template.Template
	client  *web.Client
	project *url.URL
	// isolation is by log and not by logstore alone: containers share a logstore.
	isolation web.Isolation
	encoders  sync.Pool // of *encoder
	missing   missing
}

// Open makes the output. It asks nothing of the service.
func Open(c Config) (*Output, error) {
	topic, err := template.Parse(c.Topic)
	if err != nil {
		return nil, err
	}
	client, project, err := c.client()
	if err != nil {
		return nil, err
	}
	o := &Output{config: c, topic: topic, client: client, project: project}
	o.isolation.Destination = o.AppendDestination
	o.encoders.New = func() any { return newEncoder() }
	return o, nil
}

// group is the records of a batch that go into one logstore under one topic.
type group struct {
	logstore, topic string
	source          *record.Source // the first one
	index           []int
}

// Write puts b, in requests of one logstore each. The service takes a request whole, or nothing of it.
func (o *Output) Write(ctx context.Context, b *record.Batch) error {
	if len(b.Records) == 0 {
		return ctx.Err()
	}
	return o.isolation.Write(ctx, b, o.send)
}

func (o *Output) send(ctx context.Context, b *record.Batch) error {
	e := o.encoders.Get().(*encoder)
	defer o.encoders.Put(e)
	d := &delivery{Output: o, ctx: ctx, records: b.Records, encoder: e, left: maxRequests}
	for _, g := range o.divide(b) {
		d.put(g, g.index)
	}
	return d.result()
}

func (o *Output) divide(b *record.Batch) []*group {
	var all []*group
	type name struct{ logstore, topic string }
	of, sources := make(map[name]*group), make(map[*record.Source]*group)
	for i := range b.Records {
		s := b.Records[i].Source
		g := sources[s]
		if g == nil {
			n := name{s.Target, string(o.topic.Append(nil, s, nil))}
			if g = of[n]; g == nil {
				g = &group{logstore: n.logstore, topic: n.topic, source: s}
				of[n] = g
				all = append(all, g)
			}
			sources[s] = g
		}
		g.index = append(g.index, i)
	}
	return all
}

// AppendDestination implements output.Addressed.
func (o *Output) AppendDestination(dst []byte, r *record.Record) []byte {
	from := len(dst)
	dst = append(append(append(dst, "logstore "...), r.Source.Target...), ", "...)
	dst = web.AppendSource(dst, r)
	return dst[:min(len(dst), from+output.MaxDestination)]
}

// Close closes connections that are not in use.
func (o *Output) Close() error { return o.client.Close() }

// Check asks for a logstore that there is not: the service checks key, signature and project before it says so.
func (o *Output) Check(ctx context.Context) (saw string, err error) {
	u := *o.project
	u.Path = "/logstores/remora-check"
	r, end, err := o.client.Get(ctx, &u)
	defer end()
	if err != nil {
		return "", err
	}
	var a answer
	_ = json.Unmarshal(r.Peek(16<<10), &a)
	switch {
	case r.Status == http.StatusOK, a.Code == "LogStoreNotExist":
		r.Discard()
		return u.Host + " knows the key and the project", nil
	case a.Code == "ProjectNotExist":
		return "", r.Verdict()
	case a.Code == "Unauthorized": // no right to ask for logstores, which is another one than that to write
		r.Discard()
		return u.Host + " knows the key, which may not ask for logstores", nil
	}
	verdict := r.Verdict()
	if a.Code != "" {
		return "", &probe.Denied{Cause: verdict}
	}
	return "", verdict
}
