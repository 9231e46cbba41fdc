// SPDX-License-Identifier: Apache-2.0

// Package otlp is the output for the OpenTelemetry protocol: logs as protobuf, over HTTP or gRPC.
package otlp

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/output/internal/secure"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/output/settings"
)

// Config holds the output's settings: the standard variables (OpenTelemetry's "Protocol exporter"). A variable for logs takes
// precedence over the one for all signals.
type Config struct {
	Endpoint     string          `env:"OTEL_EXPORTER_OTLP_ENDPOINT" doc:"Address of the receiver; over HTTP, /v1/logs is added"`
	LogsEndpoint string          `env:"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT" doc:"Address of the receiver for logs, used as it is"`
	Protocol     string          `env:"OTEL_EXPORTER_OTLP_PROTOCOL" envDefault:"http/protobuf" doc:"Protocol: http/protobuf or grpc"`
	LogsProtocol string          `env:"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL" doc:"The same, for logs"`
	Headers      settings.Secret `env:"OTEL_EXPORTER_OTLP_HEADERS" secret:"true" doc:"Headers as name=value, percent-encoded, separated by commas"`
	LogsHeaders  settings.Secret `env:"OTEL_EXPORTER_OTLP_LOGS_HEADERS" secret:"true" doc:"The same, for logs"`
	Codec        web.Codec       `env:"OTEL_EXPORTER_OTLP_COMPRESSION" envDefault:"none" doc:"Compression: none, gzip, or zstd (which few receivers accept)"`
	LogsCodec    web.Codec       `env:"OTEL_EXPORTER_OTLP_LOGS_COMPRESSION" doc:"The same, for logs"`
	Timeout      int             `env:"OTEL_EXPORTER_OTLP_TIMEOUT" envDefault:"10000" doc:"Timeout of a request in milliseconds"`
	LogsTimeout  int             `env:"OTEL_EXPORTER_OTLP_LOGS_TIMEOUT" envDefault:"0" doc:"The same, for logs; 0 if not set"`
	CA           string          `env:"OTEL_EXPORTER_OTLP_CERTIFICATE" doc:"File with the certificate authorities to trust, PEM; by default the system's"`
	LogsCA       string          `env:"OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE" doc:"The same, for logs"`
	Cert         string          `env:"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE" doc:"File with the client certificate, PEM"`
	LogsCert     string          `env:"OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE" doc:"The same, for logs"`
	Key          string          `env:"OTEL_EXPORTER_OTLP_CLIENT_KEY" doc:"File with the client certificate's key, PEM"`
	LogsKey      string          `env:"OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY" doc:"The same, for logs"`
	Insecure     bool            `env:"OTEL_EXPORTER_OTLP_INSECURE" envDefault:"false" doc:"No TLS for grpc if the endpoint has no scheme"`
	web.OAuth2   `envPrefix:"OTEL_EXPORTER_OTLP_"`

	signal signal // what is exported; the zero value stands for logs
}

// signal is the destination of a kind of data: the path over HTTP, and the method Export over gRPC
// (opentelemetry/proto/collector/*/v1/*_service.proto).
type signal struct{ path, service string }

var (
	logsSignal    = signal{"/v1/logs", "/opentelemetry.proto.collector.logs.v1.LogsService/Export"}
	metricsSignal = signal{"/v1/metrics", "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"}
)

// Check reports invalid values, and replaces general settings by those for logs.
func (c *Config) Check() error {
	first := func(logs, all *string) {
		if *logs != "" {
			*all = *logs
		}
	}
	first(&c.LogsProtocol, &c.Protocol)
	if c.LogsHeaders.IsSet() {
		c.Headers = c.LogsHeaders
	}
	first((*string)(&c.LogsCodec), (*string)(&c.Codec))
	first(&c.LogsCA, &c.CA)
	first(&c.LogsCert, &c.Cert)
	first(&c.LogsKey, &c.Key)
	if c.LogsTimeout != 0 {
		c.Timeout = c.LogsTimeout
	}
	switch {
	case c.Endpoint == "" && c.LogsEndpoint == "":
		return errors.New("OTEL_EXPORTER_OTLP_ENDPOINT is not set; the output otlp needs to know where to export to")
	case c.Protocol != "http/protobuf" && c.Protocol != "grpc":
		return fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q; it must be http/protobuf or grpc", c.Protocol)
	case c.Timeout <= 0:
		return fmt.Errorf("OTEL_EXPORTER_OTLP_TIMEOUT is %d; it must be more than 0 (milliseconds)", c.Timeout)
	}
	return c.Codec.Check("OTEL_EXPORTER_OTLP_COMPRESSION")
}

func (c *Config) grpc() bool { return c.Protocol == "grpc" }

// url returns the URL of requests.
func (c *Config) url() (*url.URL, error) {
	to := c.signal
	if to == (signal{}) {
		to = logsSignal
	}
	address, variable, path := c.LogsEndpoint, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", ""
	if address == "" {
		address, variable, path = c.Endpoint, "OTEL_EXPORTER_OTLP_ENDPOINT", to.path
	}
	scheme := "http"
	if c.grpc() && !c.Insecure {
		scheme = "https"
	}
	u, err := web.ParseURL(address, scheme)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	switch {
	case c.grpc():
		u.Path = to.service
	case path != "":
		u.Path = strings.TrimRight(u.Path, "/") + path
	case u.Path == "":
		u.Path = "/"
	}
	return u, nil
}

// login returns the credentials and headers of requests. The headers are percent-encoded, as OpenTelemetry specifies.
func (c *Config) login(u *url.URL) (*web.Login, error) {
	l := &web.Login{Headers: c.Headers, Decode: decode}
	if u.User != nil {
		password, _ := u.User.Password()
		l.User, l.Password = u.User.Username(), settings.NewSecret(password)
		u.User = nil
	}
	if _, err := l.Header(); err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_%w", err)
	}
	return l, nil
}

// decode undoes the percent-encoding of OpenTelemetry's lists of pairs.
func decode(value string) string {
	if decoded, err := url.PathUnescape(value); err == nil {
		return decoded
	}
	return value
}

func (c *Config) client(u *url.URL) (*web.Client, error) {
	login, err := c.login(u)
	if err != nil {
		return nil, err
	}
	tls, err := secure.Open(secure.File{Variable: "OTEL_EXPORTER_OTLP_CERTIFICATE", Path: c.CA},
		secure.File{Variable: "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", Path: c.Cert},
		secure.File{Variable: "OTEL_EXPORTER_OTLP_CLIENT_KEY", Path: c.Key}, true)
	if err != nil {
		return nil, err
	}
	timeout := time.Duration(c.Timeout) * time.Millisecond
	tokens, err := c.OAuth2.Open("OTEL_EXPORTER_OTLP_", tls, timeout)
	if err != nil {
		return nil, err
	}
	return web.NewClient(web.Options{
		TLS: tls, Login: login, Tokens: tokens, Codec: c.Codec, GRPC: c.grpc(), Timeout: timeout,
	}), nil
}
