// SPDX-License-Identifier: Apache-2.0

// Package splunk is the output for Splunk's HTTP Event Collector.
//
// A record counts as delivered when it is in the collector's queue, which is in memory, or with SPLUNK_ACK when it is indexed.
package splunk

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/output/internal/secure"
	"github.com/remora-logs/remora/shared/output/internal/template"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/output/settings"
)

// Config holds the output's settings.
type Config struct {
	URL             string          `env:"SPLUNK_URL" doc:"Address of the collector, such as https://splunk:8088; /services/collector/event is added"`
	Token           settings.Secret `env:"SPLUNK_TOKEN" secret:"true" doc:"Token of the collector"`
	Index           string          `env:"SPLUNK_INDEX" doc:"Index; {target}, {declaration} and {TAG} stand for the record's values. By default the token's"`
	Source          string          `env:"SPLUNK_SOURCE" envDefault:"{source}" doc:"Source, with the same placeholders and {source}, which is stdout or the path of the file"`
	SourceType      string          `env:"SPLUNK_SOURCETYPE" doc:"Source type, with the same placeholders; by default the token's"`
	Format          string          `env:"SPLUNK_FORMAT" envDefault:"json" doc:"Format: json makes an object of each record; raw sends the line alone, with tags as indexed fields"`
	Gzip            bool            `env:"SPLUNK_GZIP" envDefault:"true" doc:"Compress requests"`
	Ack             bool            `env:"SPLUNK_ACK" envDefault:"false" doc:"Wait until records are indexed, for tokens with indexer acknowledgement. It takes seconds a batch, and REMORA_WORKERS batches at a time"`
	AckTimeout      time.Duration   `env:"SPLUNK_ACK_TIMEOUT" envDefault:"5m" doc:"Timeout of an acknowledgement; then the batch is resent"`
	secure.Settings `envPrefix:"SPLUNK_"`
	Timeout         time.Duration `env:"SPLUNK_TIMEOUT" envDefault:"60s" doc:"Timeout of a request"`
}

// Check reports invalid values.
func (c *Config) Check() error {
	switch {
	case c.URL == "":
		return errors.New("SPLUNK_URL is not set; the output splunk needs the address of a collector")
	case !c.Token.IsSet():
		return errors.New("SPLUNK_TOKEN is not set; the collector takes nothing without a token")
	case c.Format != "json" && c.Format != "raw":
		return fmt.Errorf("SPLUNK_FORMAT is %q; it must be json or raw", c.Format)
	case c.AckTimeout <= 0:
		return fmt.Errorf("SPLUNK_ACK_TIMEOUT is %v; it must be more than nothing", c.AckTimeout)
	case c.Timeout <= 0:
		return fmt.Errorf("SPLUNK_TIMEOUT is %v; it must be more than nothing", c.Timeout)
	}
	for name, text := range map[string]string{"SPLUNK_INDEX": c.Index, "SPLUNK_SOURCE": c.Source, "SPLUNK_SOURCETYPE": c.SourceType} {
		if _, err := template.Parse(text); err != nil {
			return fmt.Errorf("%s is %q: %w", name, text, err)
		}
	}
	return nil
}

// client returns the client that sends requests, and the collector's URL.
func (c *Config) client() (*web.Client, *url.URL, error) {
	u, err := web.ParseURL(c.URL, "https")
	if err != nil {
		return nil, nil, fmt.Errorf("SPLUNK_URL: %w", err)
	}
	u.User, u.Path = nil, strings.TrimRight(u.Path, "/")
	for _, known := range []string{"/services/collector/event", "/services/collector"} {
		u.Path = strings.TrimSuffix(u.Path, known)
	}
	tls, err := c.Open("SPLUNK_")
	if err != nil {
		return nil, nil, err
	}
	codec := web.None
	if c.Gzip {
		codec = web.Gzip
	}
	login := &web.Login{APIKey: c.Token, Scheme: "Splunk"}
	return web.NewClient(web.Options{TLS: tls, Login: login, Codec: codec, Timeout: c.Timeout, Cookies: c.Ack}), u, nil
}
