// SPDX-License-Identifier: Apache-2.0

// Package settings reads an output's Config from environment variables and lists its settings, both from the tags of the same
// struct, so that code and README can't diverge:
//
//	Brokers  []string `env:"KAFKA_BROKERS" doc:"brokers, as host:port, separated by commas"`
//	Password string   `env:"KAFKA_PASSWORD" secret:"true" doc:"Password for SASL"`
//
// A field with secret:"true" can also be given as a path, in the variable with _FILE added, and no error holds its value. If
// its type is Secret, it follows that file. Settings that several outputs share are a struct of their own, embedded with the
// prefix of the variables:
//
//	secure.Settings `envPrefix:"LOKI_"`
package settings

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/remora-logs/remora/shared/output/internal/live"
)

// Setting is one line of the table of settings.
type Setting struct {
	Name, Default, Doc string
	// Type is that of the value: string, boolean, integer, number, duration (in Go's form: 1m30s) or list (separated by commas).
	Type string
	// Secret means that NAME_FILE may hold the path of a file with the value instead.
	Secret bool
}

// Section is a part of the table of settings.
type Section struct {
	Title    string
	Settings []Setting
}

// Checker is a Config that checks more of its values than their types do. An error names the variable and the reason.
type Checker interface{ Check() error }

// Load sets the struct that cfg points to from the variables in environ, and checks it if it is a Checker. An empty variable
// counts as not set, because Docker passes on each variable that a plugin declares; so does one that Kubernetes derived from a
// Service. All mistakes are reported at once.
func Load(environ map[string]string, cfg any) error {
	fields := fieldsOf(reflect.ValueOf(cfg).Elem(), "")
	values := make(map[string]string, len(environ))
	for k, v := range environ {
		if v != "" && !IsServiceLink(k, v) {
			values[k] = v
		}
	}
	var wrong []error
	for _, f := range fields {
		if f.secret() {
			wrong = append(wrong, f.readFile(values))
		}
	}
	if err := env.ParseWithOptions(cfg, env.Options{Environment: values}); err != nil {
		wrong = append(wrong, explain(err, fields))
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	for _, f := range fields {
		if s, ok := f.value.Addr().Interface().(*Secret); ok {
			s.file = f.file
		}
	}
	if c, ok := cfg.(Checker); ok {
		return c.Check()
	}
	return nil
}

// serviceLink matches the names of variables that Kubernetes derives from the Services of a Pod's namespace, in its own form
// and in that of Docker's links (k8s.io/kubernetes pkg/kubelet/envvars, FromServices). A name that ends in _PORT is one only
// if its value has a scheme.
var serviceLink = regexp.MustCompile(`^[A-Z0-9_]+_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// IsServiceLink reports whether Kubernetes derived a variable from a Service: a Service called elasticsearch sets
// ELASTICSEARCH_PORT to tcp://10.0.0.1:9200.
func IsServiceLink(name, value string) bool {
	if strings.HasSuffix(name, "_PORT") {
		scheme, _, ok := strings.Cut(value, "://")
		if ok && (scheme == "tcp" || scheme == "udp" || scheme == "sctp") {
			return true
		}
	}
	return serviceLink.MatchString(name)
}

// List returns the settings of the struct that cfg points to, in the order of its fields.
func List(cfg any) []Setting {
	var all []Setting
	for _, f := range fieldsOf(reflect.ValueOf(cfg).Elem(), "") {
		all = append(all, Setting{
			Name: f.variable, Default: f.Tag.Get("envDefault"), Doc: f.Tag.Get("doc"), Type: f.kind(), Secret: f.secret(),
		})
	}
	return all
}

// field is a field that a variable sets.
type field struct {
	reflect.StructField
	value    reflect.Value
	variable string
	file     *live.File // that NAME_FILE names
}

// fieldsOf returns the fields of a struct, including those of embedded structs and of structs with envPrefix.
func fieldsOf(of reflect.Value, prefix string) []*field {
	var all []*field
	for i := range of.NumField() {
		f := of.Type().Field(i)
		if inner, nested := f.Tag.Lookup("envPrefix"); nested || f.Anonymous {
			all = append(all, fieldsOf(of.Field(i), prefix+inner)...)
			continue
		}
		if name, _, _ := strings.Cut(f.Tag.Get("env"), ","); name != "" {
			all = append(all, &field{StructField: f, value: of.Field(i), variable: prefix + name})
		}
	}
	return all
}

// kind returns the setting's Type.
func (f *field) kind() string {
	if f.Type == reflect.TypeFor[time.Duration]() {
		return "duration"
	}
	if _, ok := reflect.PointerTo(f.Type).MethodByName("UnmarshalText"); ok {
		return "string"
	}
	switch f.Type.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "list"
	}
	return "string"
}

func (f *field) secret() bool { return f.Tag.Get("secret") == "true" }

// readFile sets values[NAME] to the content of the file that NAME_FILE names.
func (f *field) readFile(values map[string]string) (err error) {
	name := f.variable
	path, ok := values[name+"_FILE"]
	if !ok {
		return nil
	}
	if values[name] != "" {
		return fmt.Errorf("%s and %s_FILE are both set; set one of them", name, name)
	}
	if f.file, err = live.Open(path); err != nil {
		return fmt.Errorf("%s_FILE: %w", name, err)
	}
	content, _ := f.file.Content()
	values[name] = string(trim(content))
	return nil
}

// explain replaces the field in the library's errors by the variable. Their message holds the value that could not be parsed,
// so for a secret only the type is given.
func explain(err error, fields []*field) error {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return err
	}
	var out []error
	for _, e := range all.Errors {
		var bad env.ParseError
		if errors.As(e, &bad) {
			i := slices.IndexFunc(fields, func(f *field) bool { return f.Name == bad.Name && f.Type == bad.Type })
			if i >= 0 {
				f := fields[i]
				if f.secret() {
					bad.Err = errors.New("its value (not shown) can't be read as one")
				}
				e = fmt.Errorf("%s must be %s: %w", f.variable, kind(f.Type), bad.Err)
			}
		}
		out = append(out, e)
	}
	return errors.Join(out...)
}

// kind describes what a variable of type t holds.
func kind(t reflect.Type) string {
	switch {
	case t.String() == "time.Duration":
		return "a duration such as 5s or 200ms"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
		return "a whole number"
	case t.Kind() == reflect.Map:
		return "a list of key=value, separated by commas"
	}
	return "a " + t.String()
}
