// SPDX-License-Identifier: Apache-2.0

// Package registry knows every kind of output by name. Besides its own package, a new backend is added only here. A Catalog
// adds the outputs that a file names.
package registry

import (
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
)

// Backend is a kind of output.
type Backend struct {
	Name string
	// Settings lists what its Config can be given.
	Settings []settings.Setting
	// open opens an output. A named one uses only the settings of a file.
	open func(environ map[string]string, named bool) (output.Output, error)
}

// Backends are all kinds, in the order in which the README lists them.
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

// backend returns the Backend of a package whose Open takes its Config.
func backend[C any, O output.Output](name string, open func(C) (O, error)) Backend {
	return Backend{
		Name:     name,
		Settings: settings.List(new(C)),
		open: func(environ map[string]string, named bool) (output.Output, error) {
			var c C
			if err := settings.Load(environ, &c); err != nil {
				return nil, err
			}
			if c, ok := any(&c).(interface{ OnlySettings() }); ok && named {
				c.OnlySettings()
			}
			return open(c)
		},
	}
}

// Open opens the output of that kind, set by the variables in environ. It does not need the backend to be there: only a wrong
// setting is an error.
func Open(kind string, environ map[string]string) (output.Output, error) {
	b := find(kind)
	if b == nil {
		return nil, fmt.Errorf("output %q is not known; there are %s", kind, strings.Join(Names(), ", "))
	}
	o, err := b.open(environ, false)
	if err != nil {
		return nil, fmt.Errorf("output %s: %w", kind, err)
	}
	return o, nil
}

// find returns the backend of that kind; nil if there is none.
func find(kind string) *Backend {
	for i := range Backends {
		if Backends[i].Name == kind {
			return &Backends[i]
		}
	}
	return nil
}

// Names returns the kinds of outputs, sorted.
func Names() []string {
	var names []string
	for _, b := range Backends {
		names = append(names, b.Name)
	}
	slices.Sort(names)
	return names
}

// Sections returns the settings of all outputs that have some, in the order of Backends.
func Sections() []settings.Section {
	var all []settings.Section
	for _, b := range Backends {
		if len(b.Settings) > 0 {
			all = append(all, settings.Section{Title: "Output " + b.Name, Settings: b.Settings})
		}
	}
	return all
}
