// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/output/internal/probe"
)

// checker is an output that can check its backend.
type checker interface {
	// Check connects and authenticates, stores nothing, and returns what it saw, in one line without secrets.
	Check(ctx context.Context) (saw string, err error)
}

// Checked is the result of checking an output.
type Checked struct {
	Output string `json:"output"`
	Kind   string `json:"kind"`
	OK     bool   `json:"ok"`
	// Saw is what was seen, and Error why nothing would be delivered; Error begins with the setting to mend.
	Saw   string `json:"saw,omitempty"`
	Error string `json:"error,omitempty"`
}

// checkTime bounds the check of one output. All are checked concurrently.
const checkTime = 15 * time.Second

// Check checks the backends of these outputs, and returns a result for each. It takes little more than checkTime, whatever the
// backends do.
func (c *Catalog) Check(ctx context.Context, names []string) []Checked {
	all := make([]Checked, len(names))
	var checks sync.WaitGroup
	for i, name := range names {
		checks.Go(func() { all[i] = c.check(ctx, name) })
	}
	checks.Wait()
	return all
}

func (c *Catalog) check(ctx context.Context, name string) Checked {
	found := Checked{Output: name, Kind: c.Kind(name)}
	ctx, stop := context.WithTimeout(ctx, checkTime)
	defer stop()
	type answer struct {
		saw string
		err error
	}
	done := make(chan answer, 1)
	go func() {
		saw, err := c.try(ctx, name)
		done <- answer{saw, err}
	}()
	var a answer
	select {
	case a = <-done:
	case <-ctx.Done(): // an output that ignores the context is left behind
		a.err = blame(found.Kind, fmt.Errorf("no answer in time: %w", ctx.Err()))
	}
	if found.OK = a.err == nil; found.OK {
		found.Saw = a.saw
	} else {
		found.Error = oneLine(a.err)
	}
	return found
}

// try opens the output of that name, checks it, and closes it.
func (c *Catalog) try(ctx context.Context, name string) (saw string, err error) {
	o, err := c.Open(name)
	if err != nil {
		return "", err
	}
	defer o.Close()
	able, ok := o.(checker)
	if !ok {
		return "its settings are right; it can't be tried", nil
	}
	saw, err = able.Check(ctx)
	return saw, blame(c.Kind(name), err)
}

// oneLine returns err's message in one line.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// blamed holds the settings of a kind that may be the cause of a failed check.
type blamed struct{ address, authority, certificate, login string }

var blameOf = map[string]blamed{
	"kafka":         {"KAFKA_BROKERS (or KAFKA_TLS)", "KAFKA_TLS_CA", "KAFKA_TLS_CERT, KAFKA_TLS_KEY", "KAFKA_USERNAME, KAFKA_PASSWORD or KAFKA_SASL_MECHANISM"},
	"elasticsearch": {"ELASTICSEARCH_HOSTS", "ELASTICSEARCH_CA", "ELASTICSEARCH_CERT, ELASTICSEARCH_KEY", "ELASTICSEARCH_USER, ELASTICSEARCH_PASSWORD or ELASTICSEARCH_API_KEY"},
	"loki":          {"LOKI_URL", "LOKI_CA", "LOKI_CERT, LOKI_KEY", "LOKI_USER, LOKI_PASSWORD, LOKI_BEARER_TOKEN or LOKI_TENANT"},
	"otlp":          {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE, OTEL_EXPORTER_OTLP_CLIENT_KEY", "OTEL_EXPORTER_OTLP_HEADERS"},
	"http":          {"HTTP_URL", "HTTP_CA", "HTTP_CERT, HTTP_KEY", "HTTP_USER, HTTP_PASSWORD or HTTP_BEARER_TOKEN"},
	"syslog":        {"SYSLOG_HOST, SYSLOG_PORT or SYSLOG_PROTOCOL", "SYSLOG_CA", "SYSLOG_CERT, SYSLOG_KEY", "SYSLOG_CERT"},
	"redis":         {"REDIS_HOST, REDIS_PORT (or REDIS_TLS)", "REDIS_SSL_CA", "REDIS_SSL_CERT, REDIS_SSL_KEY", "REDIS_USERNAME or REDIS_PASSWORD"},
	"logstash":      {"LOGSTASH_HOSTS (or LOGSTASH_TLS)", "LOGSTASH_CA", "LOGSTASH_CERT, LOGSTASH_KEY", "LOGSTASH_CERT"},
	"fluentd":       {"FLUENTD_ADDRESS", "FLUENTD_CA", "FLUENTD_CERT, FLUENTD_KEY", "FLUENTD_SHARED_KEY, FLUENTD_USERNAME or FLUENTD_PASSWORD"},
	"splunk":        {"SPLUNK_URL", "SPLUNK_CA", "SPLUNK_CERT, SPLUNK_KEY", "SPLUNK_TOKEN"},
	"aliyun_sls":    {"ALIYUNSLS_REGION_ENDPOINT or ALIYUNSLS_PROJECT", "ALIYUNSLS_CA", "ALIYUNSLS_CERT, ALIYUNSLS_KEY", "ALIYUNSLS_ACCESS_KEY_ID, ALIYUNSLS_ACCESS_KEY_SECRET or ALIYUNSLS_SECURITY_TOKEN"},
	"graylog":       {"GRAYLOG_HOST, GRAYLOG_PORT, GRAYLOG_PROTOCOL or GRAYLOG_HTTP_PATH", "GRAYLOG_CA", "GRAYLOG_CERT, GRAYLOG_KEY", "GRAYLOG_CERT"},
	"file":          {address: "FILE_PATH"},
}

// blame prefixes err with the settings to look at. An error about neither certificates nor credentials is about the address:
// nothing listens there, or the wrong server.
func blame(kind string, err error) error {
	of, known := blameOf[kind]
	if err == nil || !known {
		return err
	}
	var denied *probe.Denied
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var alert tls.AlertError
	setting := of.address
	switch {
	case errors.As(err, &verification), errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid):
		setting = of.authority
	case errors.As(err, &alert), strings.Contains(err.Error(), "remote error: tls: "):
		setting = of.certificate
	case errors.As(err, &denied):
		setting = of.login
	}
	return fmt.Errorf("%s: %w", setting, err)
}
