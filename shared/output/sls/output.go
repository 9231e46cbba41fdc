// SPDX-License-Identifier: Apache-2.0

package sls

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/probe"
	"github.com/remora-logs/remora/shared/output/internal/template"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/record"
)

// Output writes to the Simple Log Service.
type Output struct {
	config Config
	topic  template.Template
	// project is where records go by default; others holds, by name, those that logs may name.
	project *project
	others  map[string]*project
	// isolation is by log and not only by logstore, because containers share a logstore.
	isolation web.Isolation
	encoders  sync.Pool // of *encoder
	missing   missing
}

// Open returns the output. It sends nothing to the service.
func Open(c Config) (*Output, error) {
	topic, err := template.Parse(c.Topic)
	if err != nil {
		return nil, err
	}
	main, err := c.open(c.Project)
	if err != nil {
		return nil, err
	}
	o := &Output{config: c, topic: topic, project: main, others: map[string]*project{}}
	for _, name := range c.Projects {
		if name = strings.TrimSpace(name); name != "" && name != c.Project {
			if o.others[name], err = c.open(name); err != nil {
				return nil, err
			}
		}
	}
	o.isolation.Destination = o.AppendDestination
	o.encoders.New = func() any { return newEncoder() }
	return o, nil
}

// group holds the records of a batch that go into one logstore with one topic.
type group struct {
	project         *project
	logstore, topic string
	path            string         // of the file from which all were read; empty for none, or for several
	source          *record.Source // the first one
	index           []int
}

// maxByPath bounds the groups of a batch that is divided by file for the tag __path__. Each group is a request.
const maxByPath = 32

// projectOf returns the project for the records of s: the one that s names if it is configured, or else the default.
func (o *Output) projectOf(s *record.Source) *project {
	if p := o.others[s.Store.Project]; p != nil {
		return p
	}
	return o.project
}

// Write puts b, in requests of one logstore each. The service takes all of a request or nothing.
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
	groups := o.divide(b, true)
	if len(groups) > maxByPath {
		groups = o.divide(b, false)
	}
	for _, g := range groups {
		d.put(g, g.index)
	}
	return d.result()
}

// divide divides a batch into groups, also by the records' files if byPath is set.
func (o *Output) divide(b *record.Batch, byPath bool) []*group {
	var all []*group
	type name struct {
		project               *project
		logstore, topic, path string
	}
	of, sources := make(map[name]*group), make(map[*record.Source]*group)
	for i := range b.Records {
		s := b.Records[i].Source
		g := sources[s]
		if g == nil {
			n := name{o.projectOf(s), s.Target, string(o.topic.Append(nil, s, nil)), ""}
			if byPath && b.Records[i].Std == record.NoStd {
				n.path = s.Path
			}
			if g = of[n]; g == nil {
				g = &group{project: n.project, logstore: n.logstore, topic: n.topic, path: n.path, source: s}
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
	if p := o.projectOf(r.Source); p != o.project {
		dst = append(append(append(dst, "project "...), p.name...), ", "...)
	}
	dst = web.AppendSource(dst, r)
	return dst[:min(len(dst), from+output.MaxDestination)]
}

// Close closes idle connections.
func (o *Output) Close() error {
	err := o.project.client.Close()
	for _, p := range o.others {
		err = errors.Join(err, p.client.Close())
	}
	return err
}

// Check asks each project for a logstore that does not exist: the service first checks the key, the signature and the project.
func (o *Output) Check(ctx context.Context) (saw string, err error) {
	saw, err = o.project.check(ctx)
	for _, name := range slices.Sorted(maps.Keys(o.others)) {
		if err != nil {
			break
		}
		var more string
		if more, err = o.others[name].check(ctx); err == nil {
			saw += "; " + more
		}
	}
	return saw, err
}

func (p *project) check(ctx context.Context) (saw string, err error) {
	u := *p.url
	u.Path = "/logstores/remora-check"
	r, end, err := p.client.Get(ctx, &u)
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
	case a.Code == "Unauthorized": // no right to look up logstores, which differs from that to write
		r.Discard()
		return u.Host + " knows the key, which may not ask for logstores", nil
	}
	verdict := r.Verdict()
	if a.Code != "" {
		return "", &probe.Denied{Cause: verdict}
	}
	return "", verdict
}
