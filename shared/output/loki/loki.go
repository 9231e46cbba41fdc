// SPDX-License-Identifier: Apache-2.0

// Package loki is the output for Loki's push API: protobuf compressed with snappy.
package loki

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/record"
)

// Config holds the output's settings.
type Config struct {
	URL          string   `env:"LOKI_URL" doc:"Address of Loki; /loki/api/v1/push is added if it has no path"`
	Tenant       string   `env:"LOKI_TENANT" doc:"Tenant, sent as X-Scope-OrgID"`
	Labels       []string `env:"LOKI_LABELS" envDefault:"target,docker_app,docker_service,k8s_pod_namespace,host" doc:"Tags that become Loki labels, and so streams; target, declaration, stream and source are possible too. All others become structured metadata"`
	Metadata     bool     `env:"LOKI_METADATA" envDefault:"true" doc:"Send structured metadata, which needs Loki 3"`
	web.Settings `envPrefix:"LOKI_"`
	Timeout      time.Duration `env:"LOKI_TIMEOUT" envDefault:"60s" doc:"Timeout of a request"`
}

// Check reports invalid values.
func (c *Config) Check() error {
	switch {
	case c.URL == "":
		return errors.New("LOKI_URL is not set; the output loki needs to know where to push")
	case len(c.Labels) == 0:
		return errors.New("LOKI_LABELS is empty; Loki needs at least one label")
	case c.Timeout <= 0:
		return fmt.Errorf("LOKI_TIMEOUT is %v; it must be more than nothing", c.Timeout)
	}
	return nil
}

// Output pushes to Loki.
type Output struct {
	url    *url.URL
	client *web.Client
	labels labels
	limits limits

	isolation web.Isolation
	encoders  sync.Pool // of *encoder
}

// Open returns the output. It sends nothing to the server.
func Open(c Config) (*Output, error) {
	u, err := web.ParseURL(c.URL, "http")
	if err != nil {
		return nil, fmt.Errorf("LOKI_URL: %w", err)
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/loki/api/v1/push"
	}
	fixed := make(http.Header)
	if c.Tenant != "" {
		fixed.Set("X-Scope-OrgID", c.Tenant)
	}
	client, err := c.Client("LOKI_", u, web.Options{Codec: web.Snappy, Timeout: c.Timeout}, fixed)
	if err != nil {
		return nil, err
	}
	o := &Output{url: u, client: client, labels: newLabels(c.Labels)}
	o.isolation.Destination = o.AppendDestination
	o.encoders.New = func() any { return newEncoder(o.labels, c.Metadata) }
	return o, nil
}

// Write pushes b, in one request if Loki takes all of it.
func (o *Output) Write(ctx context.Context, b *record.Batch) error {
	if len(b.Records) == 0 {
		return ctx.Err()
	}
	return o.isolation.Write(ctx, b, func(ctx context.Context, b *record.Batch) error {
		p := &push{Output: o, ctx: ctx, records: b.Records, left: maxPushes}
		return p.run()
	})
}

// post pushes the records at index. It returns the answer's status and message, the size of the request before compression,
// and the verdict.
func (o *Output) post(ctx context.Context, records []record.Record, index []int) (status int, said string, size int, err error) {
	buffer := o.client.Buffer()
	defer o.client.Release(buffer)
	e := o.encoders.Get().(*encoder)
	buffer.Bytes = e.appendRequest(buffer.Bytes, records, index)
	o.encoders.Put(e)
	if size = len(buffer.Bytes); size > largest && len(index) > 1 {
		return 0, "", size, &output.TooLarge{Cause: fmt.Errorf("a push of %d bytes", size)}
	}
	answer, end, err := o.client.Post(ctx, o.url, "application/x-protobuf", buffer)
	defer end()
	if err != nil {
		return 0, "", size, err
	}
	switch answer.Status {
	case http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent:
		answer.Discard()
		return answer.Status, "", size, nil
	}
	// Other statuses of 2xx are no success: Loki answers 260 if the tenant's pushes are blocked, and discards them.
	said = string(answer.Peek(maxSaid))
	return answer.Status, said, size, answer.Verdict(http.StatusBadRequest, http.StatusUnprocessableEntity)
}

// stamp returns the time under which r is stored.
func (o *Output) stamp(r *record.Record) int64 {
	e := o.encoders.Get().(*encoder)
	defer o.encoders.Put(e)
	return e.source(r.Source).stamp(r)
}

// AppendDestination implements output.Addressed. Loki's limits are by stream, which is a label set.
func (o *Output) AppendDestination(dst []byte, r *record.Record) []byte {
	from := len(dst)
	dst = o.labels.appendSet(append(dst, "stream "...), r.Source, r.Std)
	return dst[:min(len(dst), from+output.MaxDestination)]
}

// Close closes idle connections.
func (o *Output) Close() error { return o.client.Close() }

// Check sends an empty push: some versions accept it, and others answer that it is empty.
func (o *Output) Check(ctx context.Context) (saw string, err error) {
	status, _, _, err := o.post(ctx, nil, nil)
	return fmt.Sprintf("%s answers an empty push with %d", o.url.Host, status), web.LetIn(err)
}
