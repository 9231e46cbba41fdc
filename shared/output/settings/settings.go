// SPDX-License-Identifier: Apache-2.0

// Package settings reads an output's Config from environment variables and lists what can be set, both from the tags of
// the same struct, so that code and README can't drift apart:
//
//	Brokers  []string `env:"KAFKA_BROKERS" doc:"brokers, as host:port, separated by commas"`
//	Password string   `env:"KAFKA_PASSWORD" secret:"true" doc:"password for SASL"`
//
// A field with secret:"true" can also be given as a path in the variable with _FILE added, and its value stands in no
// error.
package settings

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Setting is one line of the table of settings.
type Setting struct {
	Name, Default, Doc string
	// Secret says that NAME_FILE may hold the path of a file with the value instead.
	Secret bool
}

// Section is a part of the table of settings.
type Section struct {
	Title    string
	Settings []Setting
}

// Checker is a Config that knows more about its values than their types say. An error names the variable and the reason.
type Checker interface{ Check() error }

// Load fills the struct that cfg points to from the variables in environ, and checks it where it is a Checker. A variable
// that is set to nothing counts as not set, because Docker passes on each variable that a plugin declares. All that is
// wrong is reported at once.
func Load(environ map[string]string, cfg any) error {
	fields := reflect.TypeOf(cfg).Elem()
	values := make(map[string]string, len(environ))
	for k, v := range environ {
		if v != "" {
			values[k] = v
		}
	}
	var wrong []error
	for f := range fields.Fields() {
		if isSecret(f) {
			wrong = append(wrong, readSecret(variable(f), values))
		}
	}
	if err := env.ParseWithOptions(cfg, env.Options{Environment: values}); err != nil {
		wrong = append(wrong, explain(err, fields))
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	if c, ok := cfg.(Checker); ok {
		return c.Check()
	}
	return nil
}

// List is the settings that the struct that cfg points to has, in the order of its fields.
func List(cfg any) []Setting {
	var all []Setting
	for f := range reflect.TypeOf(cfg).Elem().Fields() {
		if name := variable(f); name != "" {
			all = append(all, Setting{
				Name: name, Default: f.Tag.Get("envDefault"), Doc: f.Tag.Get("doc"), Secret: isSecret(f),
			})
		}
	}
	return all
}

// variable is the name of the variable that sets f; empty where none does.
func variable(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
	return name
}

func isSecret(f reflect.StructField) bool { return f.Tag.Get("secret") == "true" }

// readSecret puts what NAME_FILE points to, without the newline that editors leave at its end, in place of NAME.
func readSecret(name string, values map[string]string) error {
	path, ok := values[name+"_FILE"]
	if !ok {
		return nil
	}
	if values[name] != "" {
		return fmt.Errorf("%s and %s_FILE are both set; set one of them", name, name)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%s_FILE: %w", name, err)
	}
	values[name] = strings.TrimRight(string(content), "\r\n")
	return nil
}

// explain names the variable where the library names the field. The value that could not be parsed is part of the
// library's message, so of a secret only the type is told.
func explain(err error, fields reflect.Type) error {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return err
	}
	var out []error
	for _, e := range all.Errors {
		var bad env.ParseError
		if errors.As(e, &bad) {
			f, _ := fields.FieldByName(bad.Name)
			if isSecret(f) {
				bad.Err = errors.New("its value (not shown) can't be read as one")
			}
			e = fmt.Errorf("%s must be %s: %w", variable(f), kind(f.Type), bad.Err)
		}
		out = append(out, e)
	}
	return errors.Join(out...)
}

// kind says in words what a variable of type t holds.
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
