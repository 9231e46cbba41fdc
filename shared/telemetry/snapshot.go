// SPDX-License-Identifier: Apache-2.0

// Package telemetry serves Remora's own state: metrics for Prometheus, health and readiness, and a status for people and
// programs.
package telemetry

import (
	"time"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/notice"
	"github.com/remora-logs/remora/shared/pipeline"
)

// Snapshot is everything that is served, at one moment. Its counts agree with one another.
type Snapshot struct {
	// Schema is the version of this form. Members may be added within a version; a member that changes its meaning, or is
	// removed, makes a new one.
	Schema  int       `json:"schema"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Now     time.Time `json:"now"`
	// Ready is true once everything that existed at the start is being collected.
	Ready bool `json:"ready"`
	// Stalled names the loop of the process that is stalled; empty if none is. While one is, /healthz answers 503.
	Stalled string `json:"stalled,omitempty"`
	// Faults are faults of Remora itself. While there is one, /readyz answers 503.
	Faults  []Fault         `json:"faults"`
	Total   pipeline.Counts `json:"total"`
	Outputs []Output        `json:"outputs"`
	Logs    []Log           `json:"logs"`
	// Rows are the declarations, each with each of its outputs, including those that match nothing or were refused. Only
	// /status and the page have them.
	Rows []Row `json:"rows"`
	// Problems are errors in declarations and options of containers.
	Problems []Problem `json:"problems"`
	// Metrics are the counts of the way in.
	Metrics []Metric `json:"metrics"`

	ended []pipeline.Ended
}

// Schema is the current version of Snapshot's form.
const Schema = 1

// Fault is something wrong with Remora itself, such as a setting or the disk that holds its state. Its operator has to mend it.
type Fault struct {
	// Component is one word: settings, checkpoints, state.
	Component string `json:"component"`
	// Code is that of the message in docs/messages.md, here and below.
	Code    string `json:"code"`
	Message string `json:"message"`
	// Since is when the fault began; nil if it has existed since the process started.
	Since *time.Time `json:"since,omitempty"`
}

// Output is a backend.
type Output struct {
	Name string `json:"name"`
	// Error is that of the last attempt, empty if it succeeded. Since is when the failures began.
	Error string     `json:"error,omitempty"`
	Since *time.Time `json:"since,omitempty"`
	Code  string     `json:"code,omitempty"`
	// Conflicts is the number of records that were stored with a field as text, because its type did not fit; see
	// ELASTICSEARCH_ON_CONFLICT.
	Conflicts int64 `json:"conflicts,omitempty"`
	// Delays says how long records took from their writer to the backend.
	Delays pipeline.Delays `json:"delays"`
}

// Log is a stream under one declaration on its way to one output.
type Log struct {
	Container string `json:"container,omitempty"`
	// Writer is the container's name that is unique on the machine, if it differs from Container: see Row.
	Writer      string          `json:"writer,omitempty"`
	Stream      string          `json:"stream"`
	Source      string          `json:"source"`
	Declaration string          `json:"declaration"`
	Target      string          `json:"target"`
	Output      string          `json:"output"`
	Counts      pipeline.Counts `json:"counts"`
	// LagBytes is what the backend has not acknowledged of the stream, and LagSeconds how long ago it had acknowledged all of it.
	LagBytes   int64   `json:"lag_bytes"`
	LagSeconds float64 `json:"lag_seconds"`
	// Waiting is set while the stream waits because its destination blocks its records, and Parked while records of it are
	// parked on disk for that reason.
	Waiting *Blocked `json:"waiting,omitempty"`
	Parked  *Blocked `json:"parked,omitempty"`
	// Multiline is what multiline.preset=auto has learned about the stream: records begin with times, or only with stack traces.
	Multiline string `json:"multiline,omitempty"`
	// CPUSeconds is the CPU time of formats and filters. CPUWaitSince is set while the log waits for its share of CPU time,
	// because it uses more than others.
	CPUSeconds   float64    `json:"cpu_seconds"`
	CPUWaitSince *time.Time `json:"cpu_wait_since,omitempty"`
	// Error is the last reason why the stream could not be read or a record was refused, and ErrorSince its time.
	Error      string     `json:"error,omitempty"`
	ErrorSince *time.Time `json:"error_since,omitempty"`
	// Code is that of Waiting, Parked or Error, of the first that is set.
	Code string `json:"code,omitempty"`
	// Lifetime counts what could not be delivered since the stream began. Counts are since the process started.
	Lifetime Lifetime `json:"ever"`

	before pipeline.Counts // of logs with the same labels that have ended
	acked  int64           // the offset up to which the backend has acknowledged the stream
}

// Blocked is the backend's reason why a destination does not accept records, and since when it does not.
type Blocked struct {
	Destination string    `json:"destination"`
	Reason      string    `json:"reason"`
	Since       time.Time `json:"since"`
}

func (b *Blocked) String() string {
	if b.Destination == "" {
		return b.Reason
	}
	return b.Destination + ": " + b.Reason
}

func blocked(w *pipeline.Waiting) *Blocked {
	if w == nil {
		return nil
	}
	return &Blocked{w.Destination, w.Reason, w.Since}
}

// Lifetime counts what a log has lost since it began, across restarts of Remora.
type Lifetime struct {
	Gaps           int64 `json:"gaps"`
	DroppedRecords int64 `json:"dropped_records"`
	DroppedBytes   int64 `json:"dropped_bytes"`
	RefusedRecords int64 `json:"refused_records"`
}

// Problem is an error in, or a warning about, what a container declares.
type Problem struct {
	Container string `json:"container,omitempty"`
	Key       string `json:"key"`
	Code      string `json:"code"`
	Message   string `json:"message"`
	Warning   bool   `json:"warning,omitempty"`
}

// Kind is the type of a metric, in Prometheus' terms.
type Kind string

const (
	Gauge   Kind = "gauge"   // goes up and down
	Counter Kind = "counter" // only goes up, and starts at 0 with the process
	// Histogram counts values in buckets. Snapshot.Metrics has none.
	Histogram Kind = "histogram"
)

// Metric is a count of the way in.
type Metric struct {
	// Name is without the prefix remora_ and without the suffix _total, which a counter gets.
	Name  string  `json:"name"`
	Kind  Kind    `json:"kind"`
	Help  string  `json:"help"` // a sentence
	Value float64 `json:"value"`
}

// otherThan returns name, or "" if it equals known.
func otherThan(known, name string) string {
	if name == known {
		return ""
	}
	return name
}

// Take returns a snapshot of the pipeline. The caller fills in the rest.
func Take(p *pipeline.Pipeline, now time.Time) Snapshot {
	feeds, sinks, total := p.Status(now)
	s := Snapshot{Schema: Schema, Now: now, Total: total, Faults: []Fault{}, Outputs: []Output{}, Logs: make([]Log, 0, len(feeds)),
		Rows: []Row{}, Problems: []Problem{}, Metrics: []Metric{}, ended: p.Ended()}
	if since, err := p.StoreError(); err != nil {
		s.Faults = append(s.Faults, Fault{Component: "checkpoints", Code: notice.CheckpointsNotStored.Code, Since: &since,
			Message: "failed to store, retrying; a restart now would resend delivered records: " + err.Error()})
	}
	if used, limit := p.ParkedDisk(); limit > 0 {
		s.Metrics = append(s.Metrics, ParkedDisk.Metric(float64(used)), ParkedLimit.Metric(float64(limit)))
	}
	for _, l := range sinks {
		o := Output{Name: l.Output, Error: l.Err, Conflicts: l.Conflicts, Delays: l.Delays}
		if l.Err != "" {
			o.Since, o.Code = &l.Since, l.Code
		}
		s.Outputs = append(s.Outputs, o)
	}
	for _, f := range feeds {
		losses := &f.Losses
		l := Log{
			Container: f.Source.Container(), Stream: f.Stream, Source: f.Source.Path, Declaration: f.Declaration,
			Target: f.Source.Target, Output: f.Output, Counts: f.Counts, before: f.Prior,
			Writer: otherThan(f.Source.Container(), f.Source.Writer()), acked: f.Acked.Low,
			LagBytes: f.Backlog, LagSeconds: f.Lag.Seconds(), Error: losses.Error,
			Lifetime: Lifetime{losses.Gaps, losses.DroppedRecords, losses.DroppedBytes, losses.RefusedRecords},
		}
		if l.Error != "" {
			l.ErrorSince = &losses.Since
		}
		l.CPUSeconds, l.Multiline = f.CPU.Seconds(), losses.Learned
		if !f.Deferred.IsZero() {
			l.CPUWaitSince = &f.Deferred
		}
		l.Waiting, l.Parked = blocked(f.Waiting), blocked(f.Parking)
		l.Code = l.code()
		s.Logs = append(s.Logs, l)
	}
	return s
}

// code returns the code of what is wrong with the log now, or else of its last error.
func (l *Log) code() string {
	switch {
	case l.Waiting != nil:
		return notice.DestinationBlocked.Code
	case l.Parked != nil:
		return notice.RecordParked.Code
	case l.Error != "" && l.Lifetime.RefusedRecords > 0:
		return notice.RecordRefused.Code
	case l.Error != "":
		return notice.StreamUnreadable.Code
	}
	return ""
}

// Complete sets the code of problems that have none to that of their declaration's part.
func (s *Snapshot) Complete() {
	for i := range s.Problems {
		if p := &s.Problems[i]; p.Code == "" {
			p.Code = DeclarationNotice(p.Key, p.Warning).Code
		}
	}
}

// DeclarationNotice returns the message for a problem with a declaration's key.
func DeclarationNotice(key string, warning bool) *notice.Message {
	if warning {
		return notice.DeclarationWarning
	}
	switch declare.Part(key) {
	case "path", "streams", "exclude", "encoding", "ignore_older", "read_from", "container":
		return notice.DeclaredSource
	case "format":
		return notice.DeclaredFormat
	case "multiline":
		return notice.DeclaredMultiline
	case "keep", "drop", "mask", "add", "remove", "rename", "sample", "rate_limit":
		return notice.DeclaredFilter
	case "tags", "tags_from":
		return notice.DeclaredTags
	case "output", "target", "pipeline":
		return notice.DeclaredOutput
	case "collect":
		return notice.RuleInvalid
	}
	return notice.DeclarationInvalid
}
