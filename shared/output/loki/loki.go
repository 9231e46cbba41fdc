// SPDX-License-Identifier: Apache-2.0

// Package loki is the output that speaks Loki's push API: protobuf in snappy.
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

// Config is what can be set.
type Config struct {
	URL          string   `env:"LOKI_URL" doc:"Loki's address; /loki/api/v1/push is added where it has no path"`
	Tenant       string   `env:"LOKI_TENANT" doc:"tenant, sent as X-Scope-OrgID"`
	Labels       []string `env:"LOKI_LABELS" envDefault:"target,docker_app,docker_service,k8s_pod_namespace,host" doc:"tags that become labels, and so streams, in Loki; also target, declaration, stream and source. The rest becomes structured metadata"`
	Metadata     bool     `env:"LOKI_METADATA" envDefault:"true" doc:"whether to send structured metadata, which Loki takes from version 3 on"`
	web.Settings `envPrefix:"LOKI_"`
	Timeout      time.Duration `env:"LOKI_TIMEOUT" envDefault:"60s" doc:"how long a request may take"`
}

// Check reports values that can't be worked with.
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

	encoders sync.Pool // of *encoder
}

// modest is a size that fits Loki's ingestion_burst_size_mb, 6 by default. A larger request may be over the limit all by
// itself, and be told 429 for ever.
const modest = 1 << 20

// Open makes the output. It asks nothing of the server.
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
	o := &Output{url: u, client: client}
	o.encoders.New = func() any { return newEncoder(c.Labels, c.Metadata) }
	return o, nil
}

// Write pushes b. Loki's 400 means that it will never take something of it, for its age, its size or a label.
func (o *Output) Write(ctx context.Context, b *record.Batch) error {
	if len(b.Records) == 0 {
		return ctx.Err()
	}
	buffer := o.client.Buffer()
	defer o.client.Release(buffer)
	e := o.encoders.Get().(*encoder)
	buffer.Bytes = e.appendRequest(buffer.Bytes, b)
	o.encoders.Put(e)

	answer, end, err := o.client.Post(ctx, o.url, "application/x-protobuf", buffer)
	defer end()
	if err != nil {
		return err
	}
	if answer.Status >= 200 && answer.Status < 300 {
		answer.Discard()
		return nil
	}
	if answer.Status == http.StatusTooManyRequests && len(buffer.Bytes) > modest {
		return &output.TooLarge{Cause: answer.Verdict()}
	}
	return answer.Verdict(http.StatusBadRequest, http.StatusUnprocessableEntity)
}

// Close closes connections that are not in use.
func (o *Output) Close() error { return o.client.Close() }
