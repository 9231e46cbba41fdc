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

	"github.com/remora-logs/remora/shared/output/internal/secure"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/record"
)

// Config is what can be set.
type Config struct {
	URL         string            `env:"HTTP_URL" doc:"where records are posted to, one JSON object a line"`
	Headers     map[string]string `env:"HTTP_HEADERS" envKeyValSeparator:"=" secret:"true" doc:"headers of each request, as name=value, separated by commas"`
	User        string            `env:"HTTP_USER" doc:"user for basic authentication"`
	Password    string            `env:"HTTP_PASSWORD" secret:"true" doc:"password for basic authentication"`
	BearerToken string            `env:"HTTP_BEARER_TOKEN" secret:"true" doc:"bearer token; instead of a user"`
	Compression web.Codec         `env:"HTTP_COMPRESSION" envDefault:"none" doc:"none, gzip or zstd"`
	ContentType string            `env:"HTTP_CONTENT_TYPE" envDefault:"application/x-ndjson" doc:"content type of the requests"`
	Verify      bool              `env:"HTTP_SSL_VERIFY" envDefault:"true" doc:"whether the server's certificate is checked"`
	CA          string            `env:"HTTP_CA" doc:"file with the authorities to trust, PEM; the system's where not set"`
	Cert        string            `env:"HTTP_CERT" doc:"file with the client's certificate, PEM"`
	Key         string            `env:"HTTP_KEY" doc:"file with the key to it, PEM"`
	Timeout     time.Duration     `env:"HTTP_TIMEOUT" envDefault:"60s" doc:"how long a request may take"`
}

// Check reports values that can't be worked with.
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
}

// Open makes the output. It asks nothing of the server.
func Open(c Config) (*Output, error) {
	u, err := web.ParseURL(c.URL, "http")
	if err != nil {
		return nil, fmt.Errorf("HTTP_URL: %w", err)
	}
	tls, err := secure.Config(secure.File{Variable: "HTTP_CA", Path: c.CA},
		secure.File{Variable: "HTTP_CERT", Path: c.Cert}, secure.File{Variable: "HTTP_KEY", Path: c.Key}, c.Verify)
	if err != nil {
		return nil, err
	}
	header, err := web.Header("HTTP", u, web.Login{User: c.User, Password: c.Password, Bearer: c.BearerToken}, c.Headers)
	if err != nil {
		return nil, err
	}
	return &Output{
		url: u, contentType: c.ContentType,
		client: web.NewClient(web.Options{TLS: tls, Header: header, Codec: c.Compression, Timeout: c.Timeout}),
	}, nil
}

// Write posts b. Any status of 2xx means that all of it was taken; 400 and 422 that something in it never will be.
func (o *Output) Write(ctx context.Context, b *record.Batch) error {
	if len(b.Records) == 0 {
		return ctx.Err()
	}
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

// Close closes connections that are not in use.
func (o *Output) Close() error { return o.client.Close() }
