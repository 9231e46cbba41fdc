// SPDX-License-Identifier: Apache-2.0

// Package fluentd is the output for Fluentd's forward protocol, version 1: to Fluentd, Fluent Bit, and the OpenTelemetry
// Collector.
//
// A record counts as delivered when it is in the server's buffer, which is in memory unless configured otherwise. Without
// FLUENTD_ACK it only means that the server's kernel has it.
package fluentd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/output/internal/secure"
	"github.com/remora-logs/remora/shared/output/internal/template"
	"github.com/remora-logs/remora/shared/output/settings"
)

// Config holds the output's settings.
type Config struct {
	Addresses       []string        `env:"FLUENTD_ADDRESS" doc:"Servers: host:port, tcp://host:port, tls://host:port or unix:///path; several, separated by commas, take turns. The default port is 24224"`
	Tag             string          `env:"FLUENTD_TAG" envDefault:"{target}" doc:"Tag of the records; {target}, {declaration} and {TAG} stand for the record's values"`
	Ack             bool            `env:"FLUENTD_ACK" envDefault:"true" doc:"Require acknowledgements. false loses what is in flight when a server dies"`
	Timeout         time.Duration   `env:"FLUENTD_ACK_TIMEOUT" envDefault:"60s" doc:"Timeout of an acknowledgement"`
	Compression     string          `env:"FLUENTD_COMPRESSION" envDefault:"none" doc:"Compression: none or gzip"`
	SubSecond       bool            `env:"FLUENTD_SUB_SECOND" envDefault:"true" doc:"Send times with nanoseconds; false is for servers before Fluentd 0.14"`
	SharedKey       settings.Secret `env:"FLUENTD_SHARED_KEY" secret:"true" doc:"Shared key, if the server asks for one"`
	Self            string          `env:"FLUENTD_SELF_HOSTNAME" doc:"Own name beside the shared key; by default the host's. It must differ from the server's"`
	Username        string          `env:"FLUENTD_USERNAME" doc:"User, if the server asks for one beside the shared key"`
	Password        settings.Secret `env:"FLUENTD_PASSWORD" secret:"true" doc:"Password of the user"`
	TLS             bool            `env:"FLUENTD_TLS" envDefault:"false" doc:"Use TLS; so does an address with tls://"`
	secure.Settings `envPrefix:"FLUENTD_"`
}

const defaultPort = "24224"

// Check reports invalid values, and completes c.
func (c *Config) Check() error {
	switch {
	case len(c.Addresses) == 0:
		return errors.New("FLUENTD_ADDRESS is not set; the output fluentd needs a server")
	case c.Compression != "none" && c.Compression != "gzip":
		return fmt.Errorf("FLUENTD_COMPRESSION is %q; it must be none or gzip", c.Compression)
	case c.Timeout <= 0:
		return fmt.Errorf("FLUENTD_ACK_TIMEOUT is %v; it must be more than nothing", c.Timeout)
	case c.Username != "" && !c.SharedKey.IsSet():
		return errors.New("FLUENTD_USERNAME is set, but FLUENTD_SHARED_KEY is not")
	}
	if _, err := template.Parse(c.Tag); err != nil || c.Tag == "" {
		return fmt.Errorf("FLUENTD_TAG is %q; it must be a tag: %w", c.Tag, errors.Join(err))
	}
	for i, text := range c.Addresses {
		address, err := c.parse(strings.TrimSpace(text))
		if err != nil {
			return err
		}
		c.Addresses[i] = address
	}
	if !c.TLS && c.Settings != (secure.Settings{Verify: true}) {
		return errors.New("FLUENTD_CA, FLUENTD_CERT, FLUENTD_KEY or FLUENTD_SSL_VERIFY is set, but FLUENTD_TLS is not true")
	}
	if c.Self == "" {
		c.Self, _ = os.Hostname()
	}
	return nil
}

// parse returns an address in the form of Docker's driver as host:port, or as unix: and a path.
func (c *Config) parse(text string) (string, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		scheme, rest = "tcp", text
	}
	switch scheme {
	case "unix":
		return "unix:" + rest, nil
	case "tls":
		c.TLS = true
	case "tcp":
	default:
		return "", fmt.Errorf("FLUENTD_ADDRESS: %q is neither of tcp, nor tls, nor unix", scheme)
	}
	if host, port, err := net.SplitHostPort(rest); err == nil && host != "" && port != "" {
		return rest, nil
	}
	if rest == "" || strings.Contains(rest, "/") {
		return "", fmt.Errorf("FLUENTD_ADDRESS: %q is no address", text)
	}
	return net.JoinHostPort(strings.Trim(rest, "[]"), defaultPort), nil
}
