// SPDX-License-Identifier: Apache-2.0

// Package registry knows every output by name. It is the one place that a new backend is entered in, beside its own
// package.
package registry

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/console"
	"github.com/remora-logs/remora/shared/output/elasticsearch"
	"github.com/remora-logs/remora/shared/output/file"
	"github.com/remora-logs/remora/shared/output/fluentd"
	"github.com/remora-logs/remora/shared/output/graylog"
	"github.com/remora-logs/remora/shared/output/http"
	"github.com/remora-logs/remora/shared/output/kafka"
	"github.com/remora-logs/remora/shared/output/logstash"
	"github.com/remora-logs/remora/shared/output/loki"
	"github.com/remora-logs/remora/shared/output/null"
	"github.com/remora-logs/remora/shared/output/otlp"
	"github.com/remora-logs/remora/shared/output/redis"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/output/sls"
	"github.com/remora-logs/remora/shared/output/splunk"
	"github.com/remora-logs/remora/shared/output/syslog"
	"github.com/remora-logs/remora/shared/pipeline"
)

// Backend is an output as LOGGING_OUTPUT names it.
type Backend struct {
	Name string
	// Settings is what its Config can be given.
	Settings []settings.Setting
	open     func(environ map[string]string) (output.Output, error)
}

// Backends are all there are, in the order in which the README lists them.
var Backends = []Backend{
	backend("console", console.Open),
	backend("file", file.Open),
	backend("kafka", kafka.Open),
	backend("elasticsearch", elasticsearch.Open),
	backend("loki", loki.Open),
	backend("otlp", otlp.Open),
	backend("http", http.Open),
	backend("syslog", syslog.Open),
	backend("redis", redis.Open),
	backend("logstash", logstash.Open),
	backend("fluentd", fluentd.Open),
	backend("splunk", splunk.Open),
	backend("aliyun_sls", sls.Open),
	backend("graylog", graylog.Open),
	backend("null", null.Open),
}

// backend enters a package whose Open takes its Config.
func backend[C any, O output.Output](name string, open func(C) (O, error)) Backend {
	return Backend{
		Name:     name,
		Settings: settings.List(new(C)),
		open: func(environ map[string]string) (output.Output, error) {
			var c C
			if err := settings.Load(environ, &c); err != nil {
				return nil, err
			}
			return open(c)
		},
	}
}

// Open makes the output that is called name, set by the variables in environ. It needs no backend to be there: only a
// wrong setting is an error.
func Open(name string, environ map[string]string) (output.Output, error) {
	for _, b := range Backends {
		if b.Name == name {
			o, err := b.open(environ)
			if err != nil {
				return nil, fmt.Errorf("output %s: %w", name, err)
			}
			return o, nil
		}
	}
	return nil, fmt.Errorf("output %q is not known; there are %s", name, strings.Join(Names(), ", "))
}

// Names lists the outputs.
func Names() []string {
	var names []string
	for _, b := range Backends {
		names = append(names, b.Name)
	}
	slices.Sort(names)
	return names
}

// Sections lists the settings of all outputs that have some, in the order of Backends.
func Sections() []settings.Section {
	var all []settings.Section
	for _, b := range Backends {
		if len(b.Settings) > 0 {
			all = append(all, settings.Section{Title: "Output " + b.Name, Settings: b.Settings})
		}
	}
	return all
}

// OpenAll opens the named outputs, set by the variables in environ, each with as many workers. If one cannot be opened, the
// others are closed again.
func OpenAll(names []string, environ map[string]string, workers int) (map[string]pipeline.Sink, error) {
	sinks := map[string]pipeline.Sink{}
	for _, name := range names {
		o, err := Open(name, environ)
		if err != nil {
			return nil, errors.Join(err, closeAll(sinks))
		}
		sinks[name] = pipeline.Sink{Output: o, Workers: workers}
	}
	return sinks, nil
}

func closeAll(sinks map[string]pipeline.Sink) error {
	var errs []error
	for _, l := range sinks {
		errs = append(errs, l.Output.Close())
	}
	return errors.Join(errs...)
}
