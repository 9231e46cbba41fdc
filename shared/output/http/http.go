// SPDX-License-Identifier: Apache-2.0

// Package http is the output that posts JSON lines to any URL.
package http

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/record"
)

// Config holds the output's settings.
type Config struct {
	URL          string    `env:"HTTP_URL" doc:"URL that records are posted to, as JSON lines"`
	Compression  web.Codec `env:"HTTP_COMPRESSION" envDefault:"none" doc:"Compression: none, gzip or zstd"`
	ContentType  string    `env:"HTTP_CONTENT_TYPE" envDefault:"application/x-ndjson" doc:"Content type of the requests"`
	web.Settings `envPrefix:"HTTP_"`
	Timeout      time.Duration `env:"HTTP_TIMEOUT" envDefault:"60s" doc:"Timeout of a request"`
}

// Check reports invalid values.
func (c *Config) Check() error {
	if c.URL == "" {
		return errors.New("HTTP_URL is not set; the output http needs to know where to post")
	}
	if c.Timeout <= 0 {
		return fmt.Errorf("HTTP_TIMEOUT is %v; it must be more than nothing", c.Timeout)
	}
	return c.Compression.Check("HTTP_COMPRESSION")
}

// Output posts JSON lines.
type Output struct {
	url         *url.URL
	contentType string
	client      *web.Client
	isolation   web.Isolation
}

// Open returns the output. It sends nothing to the server.
func Open(c Config) (*Output, error) {
	u, err := web.ParseURL(c.URL, "http")
	if err != nil {
		return nil, fmt.Errorf("HTTP_URL: %w", err)
	}
	client, err := c.Client("HTTP_", u, web.Options{Codec: c.Compression, Timeout: c.Timeout}, nil)
	if err != nil {
		return nil, err
	}
	return &Output{url: u, contentType: c.ContentType, client: client, isolation: web.Isolation{Destination: web.AppendSource}}, nil
}

// Write posts b. Any status of 2xx means that all of it was taken; 400 and 422 mean that some record never will be.
func (o *Output) Write(ctx context.Context, b *record.Batch) error {
	if len(b.Records) == 0 {
		return ctx.Err()
	}
	return o.isolation.Write(ctx, b, o.post)
}

func (o *Output) post(ctx context.Context, b *record.Batch) error {
	buffer := o.client.Buffer()
	defer o.client.Release(buffer)
	buffer.Room(record.JSONSize(b.Records) + len(b.Records))
	for i := range b.Records {
		buffer.Bytes = append(buffer.Enc.AppendRecord(buffer.Bytes, &b.Records[i]), '\n')
		buffer.Pack()
	}
	answer, end, err := o.client.Post(ctx, o.url, o.contentType, buffer)
	defer end()
	if err != nil {
		return err
	}
	if answer.Status >= 200 && answer.Status < 300 {
		answer.Discard()
		return nil
	}
	return answer.Verdict(http.StatusBadRequest, http.StatusUnprocessableEntity)
}

// AppendDestination implements output.Addressed.
func (o *Output) AppendDestination(dst []byte, r *record.Record) []byte {
	return web.AppendSource(dst, r)
}

// Close closes idle connections.
func (o *Output) Close() error { return o.client.Close() }

// Check sends a GET request for the URL, which stores nothing. Many servers that take POST answer with 404 or 405, which is fine.
func (o *Output) Check(ctx context.Context) (saw string, err error) {
	status, err := o.client.Probe(ctx, o.url)
	return fmt.Sprintf("%s answers GET with %d", o.url.Host, status), err
}
