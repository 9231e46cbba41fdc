// SPDX-License-Identifier: Apache-2.0

// Package config holds the settings of Remora's processes: structs whose tags name the variables and document them in
// docs/settings.md. The outputs' settings are in their own packages.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/output/settings"
)

// Common are the settings of all ways in.
type Common struct {
	Prefix         string   `env:"PILOT_LOG_PREFIX" envDefault:"aliyun" doc:"Prefixes of declarations, separated by commas"`
	TagsFrom       []string `env:"REMORA_TAGS_FROM" envDefault:"POD_*,NODE_NAME,HOST_IP" doc:"Variables of the environment that annotations may use as tags; names with *, separated by commas"`
	Compat         string   `env:"REMORA_COMPAT" doc:"Shape records, and choose defaults of outputs, as log-pilot did: filebeat or fluentd; PILOT_TYPE sets it too; none turns it off. Every record then has index and topic, the log's target. The command explain lists the rest"`
	Fields         []string `env:"REMORA_FIELDS" doc:"Which of Remora's own members records keep: source, offset, stream, and tags about the container and machine (docker_*, k8s_*, container_id, image, host …): names with *, separated by commas; by default all, none for none. A tag that is left out can't be part of an index, topic or file name"`
	MaxRecordBytes int      `env:"REMORA_MAX_RECORD_BYTES" envDefault:"1048576" doc:"Maximum size of a record in bytes. A longer line becomes several records, all but the last with \"truncated\":true"`
	Workers        int      `env:"REMORA_WORKERS" envDefault:"2" doc:"Maximum number of in-flight batches per output. Batches of one stream are sent in order"`
	Host           string   `env:"REMORA_HOST" doc:"Value of the tag host; by default the machine's name"`
	Listen         string   `env:"REMORA_LISTEN" doc:"Address that serves the status page, /status, /metrics, /healthz and /readyz: host:port or unix:PATH; by default only the socket status.sock in the state directory"`
	Listener
	Pprof     bool   `env:"REMORA_PPROF" envDefault:"false" doc:"Serve Go's profiles under /debug/pprof/ too"`
	LogLevel  string `env:"REMORA_LOG_LEVEL" envDefault:"info" doc:"Level of Remora's own log: debug, info, warn or error"`
	LogFormat string `env:"REMORA_LOG_FORMAT" envDefault:"text" doc:"Format of Remora's own log: text or json"`
}

// Driver are the plugin's settings besides Common.
type Driver struct {
	Outputs         []string      `env:"LOGGING_OUTPUT" envDefault:"file" doc:"Outputs that records go to, separated by commas"`
	ConfigFile      string        `env:"REMORA_CONFIG" doc:"YAML file with settings and outputs of a name; in the plugin a path below /var/lib/remora, its propagated mount"`
	DefaultTarget   string        `env:"REMORA_DEFAULT_TARGET" envDefault:"docker" doc:"Target of containers that declare none"`
	StateDir        string        `env:"REMORA_STATE_DIR" envDefault:"/var/lib/remora" doc:"Directory of the spool and checkpoints. In the plugin it must survive an upgrade, as the default does"`
	CaptureInterval time.Duration `env:"REMORA_CAPTURE_INTERVAL" envDefault:"2ms" doc:"Pause between two drains of a busy container's pipe"`
	SyncInterval    time.Duration `env:"REMORA_SYNC_INTERVAL" envDefault:"1s" doc:"Interval at which the spool is synced to disk, which bounds what a crash of the machine can lose"`
	SpoolMaxBytes   int64         `env:"REMORA_SPOOL_MAX_BYTES" envDefault:"1073741824" doc:"Disk limit of the spool of all containers, in bytes"`
	SpoolMaxEach    int64         `env:"REMORA_SPOOL_MAX_BYTES_PER_CONTAINER" envDefault:"268435456" doc:"Disk limit of the spool per container, in bytes"`
	SpoolMinFree    int64         `env:"REMORA_SPOOL_MIN_FREE" envDefault:"1073741824" doc:"Free bytes that the spool leaves on the disk, but at most a tenth of the disk"`
	WhenFull        string        `env:"REMORA_WHEN_FULL" envDefault:"drop-oldest" doc:"Policy when the spool is full: drop-oldest, or block (the container waits)"`
	BlockTimeout    time.Duration `env:"REMORA_BLOCK_TIMEOUT" envDefault:"8s" doc:"Longest time that block makes a container wait, once until records are delivered again; then the oldest data are dropped. The engine waits 10s for a container's last lines: a longer time loses them"`
	PartialTimeout  time.Duration `env:"REMORA_PARTIAL_TIMEOUT" envDefault:"5s" doc:"Longest time to wait for the end of a long line; then its beginning is sent"`
	ReadLogs        bool          `env:"READ_LOGS" envDefault:"false" doc:"Serve docker logs from the spool instead of the engine's own cache"`
	HistoryBytes    int64         `env:"REMORA_HISTORY_BYTES" envDefault:"67108864" doc:"Delivered bytes kept per container for docker logs"`
}

// Sidecar are the sidecar's settings besides Common.
type Sidecar struct {
	Outputs       []string      `env:"LOGGING_OUTPUT" envDefault:"console" doc:"Outputs that records go to, separated by commas"`
	StateDir      string        `env:"REMORA_STATE_DIR" envDefault:"/var/lib/remora" doc:"Directory of the checkpoints. Keep it on a volume to resume after a restart"`
	ConfigFile    string        `env:"REMORA_CONFIG" doc:"YAML file with settings, declarations and outputs of a name, watched for changes"`
	Annotations   string        `env:"REMORA_ANNOTATIONS" doc:"File of the downward API with the Pod's annotations; watched for changes"`
	Labels        string        `env:"REMORA_LABELS" doc:"File of the downward API with the Pod's labels"`
	LabelTags     []string      `env:"REMORA_LABEL_TAGS" doc:"Labels in REMORA_LABELS that become tags, separated by commas"`
	ReadFrom      string        `env:"REMORA_READ_FROM" envDefault:"beginning" doc:"Where to start in existing files: beginning or end"`
	IgnoreOlder   time.Duration `env:"REMORA_IGNORE_OLDER" doc:"Existing files that were not modified for this long are skipped"`
	DeleteAfter   time.Duration `env:"REMORA_DELETE_AFTER" doc:"Remove rotated files that are acknowledged and were not modified for this long; by default none"`
	DropPageCache bool          `env:"REMORA_DROP_PAGE_CACHE" envDefault:"false" doc:"Drop the page cache of what was read; it counts against the Pod's memory"`
	MaxDeleted    int64         `env:"REMORA_MAX_DELETED_BYTES" envDefault:"1073741824" doc:"Disk space that deleted but unread files may occupy, in bytes"`
	MaxOpen       int           `env:"REMORA_MAX_OPEN_FILES" doc:"Maximum number of open files; by default half of the process's limit, at most 1024"`
	DrainTimeout  time.Duration `env:"REMORA_DRAIN_TIMEOUT" envDefault:"25s" doc:"How long SIGTERM waits until everything is acknowledged"`
}

// Status are the settings that tell where a running process serves its status.
type Status struct {
	Listen   string `env:"REMORA_LISTEN"`
	StateDir string `env:"REMORA_STATE_DIR" envDefault:"/var/lib/remora"`
}

// Load fills each of parts, pointers to structs of settings, from environ. Its error lists every invalid variable with the
// reason.
func Load(environ map[string]string, parts ...any) error {
	var wrong []error
	for _, p := range parts {
		wrong = append(wrong, settings.Load(environ, p))
	}
	return errors.Join(wrong...)
}

// LoadValid fills parts like Load, with defaults in place of invalid values, for a process that must stay up. It returns
// the error of Load.
func LoadValid(environ map[string]string, parts ...any) error {
	err := Load(environ, parts...)
	if err == nil {
		return nil
	}
	for _, p := range parts {
		loadValid(environ, p)
	}
	return err
}

// loadValid validates each variable of part by itself. If the valid ones don't fit together, it uses defaults for all.
func loadValid(environ map[string]string, part any) {
	kind := reflect.TypeOf(part).Elem()
	valid := maps.Clone(environ)
	for _, s := range settings.List(part) {
		one := map[string]string{s.Name: environ[s.Name], s.Name + "_FILE": environ[s.Name+"_FILE"]}
		if settings.Load(one, reflect.New(kind).Interface()) != nil {
			delete(valid, s.Name)
			delete(valid, s.Name+"_FILE")
		}
	}
	fresh := reflect.New(kind)
	if settings.Load(valid, fresh.Interface()) != nil {
		fresh = reflect.New(kind)
		_ = settings.Load(nil, fresh.Interface()) // defaults are sound: there is a test
	}
	reflect.ValueOf(part).Elem().Set(fresh.Elem())
}

// Environ returns the process's variables: those of its environment, and, where one is not set or empty there, what the
// section settings of the file REMORA_CONFIG has.
func Environ() map[string]string {
	all := Variables()
	ReadFile(all[FileVariable]).Merge(all)
	return all
}

// Variables returns the variables of the process's environment alone.
func Variables() map[string]string {
	all := map[string]string{}
	for _, kv := range os.Environ() {
		if k, v, ok := strings.Cut(kv, "="); ok {
			all[k] = v
		}
	}
	return all
}

// OutputNames returns the names in LOGGING_OUTPUT. Callers of Load validate them, so that this package links no backend.
func (d *Driver) OutputNames() []string { return d.Outputs }

// OutputNames returns the names in LOGGING_OUTPUT.
func (s *Sidecar) OutputNames() []string { return s.Outputs }

// CheckOutputs trims the names in place, and returns an error for unknown and repeated ones.
func CheckOutputs(names, known []string) error {
	seen := map[string]bool{}
	for i, name := range names {
		name = strings.TrimSpace(name)
		names[i] = name
		if !slices.Contains(known, name) {
			return fmt.Errorf("LOGGING_OUTPUT: output %q is not known; there are %s", name, strings.Join(known, ", "))
		}
		if seen[name] {
			return fmt.Errorf("LOGGING_OUTPUT names %s twice", name)
		}
		seen[name] = true
	}
	return nil
}

// Check implements settings.Checker.
func (c *Common) Check() error {
	return errors.Join(
		c.checkListener(),
		atLeast("REMORA_MAX_RECORD_BYTES", int64(c.MaxRecordBytes), 1024),
		atLeast("REMORA_WORKERS", int64(c.Workers), 1),
		oneOf("REMORA_COMPAT", cmp.Or(c.Compat, "none"), "filebeat", "fluentd", "none"),
		oneOf("REMORA_LOG_FORMAT", c.LogFormat, "text", "json"),
		oneOf("REMORA_LOG_LEVEL", c.LogLevel, "debug", "info", "warn", "error"),
	)
}

// Check implements settings.Checker.
func (d *Driver) Check() error {
	return errors.Join(
		oneOf("REMORA_WHEN_FULL", d.WhenFull, "drop-oldest", "block"),
		atLeast("REMORA_SPOOL_MAX_BYTES", d.SpoolMaxBytes, 1<<20),
		atLeast("REMORA_SPOOL_MAX_BYTES_PER_CONTAINER", d.SpoolMaxEach, 1<<20),
		atLeast("REMORA_SPOOL_MIN_FREE", d.SpoolMinFree, 0),
		atLeast("REMORA_HISTORY_BYTES", d.HistoryBytes, 0),
		positive("REMORA_CAPTURE_INTERVAL", d.CaptureInterval),
		positive("REMORA_SYNC_INTERVAL", d.SyncInterval),
		positive("REMORA_PARTIAL_TIMEOUT", d.PartialTimeout),
	)
}

// Check implements settings.Checker.
func (s *Sidecar) Check() error {
	return errors.Join(
		oneOf("REMORA_READ_FROM", s.ReadFrom, "beginning", "end"),
		atLeast("REMORA_MAX_OPEN_FILES", int64(s.MaxOpen), 0),
		atLeast("REMORA_MAX_DELETED_BYTES", s.MaxDeleted, 0),
	)
}

func atLeast(name string, value, least int64) error {
	if value < least {
		return fmt.Errorf("%s is %d; it must be at least %d", name, value, least)
	}
	return nil
}

func positive(name string, value time.Duration) error {
	if value <= 0 {
		return fmt.Errorf("%s is %v; it must be more than 0", name, value)
	}
	return nil
}

func oneOf(name, value string, known ...string) error {
	if !slices.Contains(known, value) {
		return fmt.Errorf("%s is %q; it must be one of %s", name, value, strings.Join(known, ", "))
	}
	return nil
}

// Socket returns the Unix socket on which the process always serves its status.
func (s *Status) Socket() string { return filepath.Join(s.StateDir, "status.sock") }

// ListenAddress returns the network and address of REMORA_LISTEN, as for net.Listen; Socket if that is not set.
func (s *Status) ListenAddress() (network, address string) {
	if path, ok := strings.CutPrefix(s.Listen, "unix:"); ok {
		return "unix", path
	}
	if s.Listen != "" {
		return "tcp", s.Listen
	}
	return "unix", s.Socket()
}

// LogPilot returns the mode of log-pilot that REMORA_COMPAT names; empty for none.
func (c *Common) LogPilot() string {
	if c.Compat == "none" {
		return ""
	}
	return c.Compat
}

// HostName returns the value of the tag host.
func (c *Common) HostName() string {
	if c.Host != "" {
		return c.Host
	}
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
