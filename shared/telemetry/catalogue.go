// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"strings"

	"github.com/remora-logs/remora/shared/pipeline"
)

// Definition is a metric that Remora exports. Names follow Prometheus' rules: prefix, what is counted, unit, and _total for
// counters.
type Definition struct {
	Name   string
	Kind   Kind
	Help   string   // a sentence
	Labels []string // in the order in which they are written
	// From names the ways in that export it; empty for all processes that deliver.
	From string
	// Was is its name in the previous release, which is exported too until the next one; empty if it has not changed.
	Was string
}

// Metric returns the value of a metric without labels, for Snapshot.Metrics.
func (d *Definition) Metric(value float64) Metric {
	return Metric{Name: strings.TrimSuffix(strings.TrimPrefix(d.Name, prefix), total), Kind: d.Kind, Help: d.Help, Value: value}
}

const (
	prefix = "remora_"
	total  = "_total"
)

// count is a metric that exists for each log and for all logs together.
type count struct {
	log, all Definition
	value    func(*pipeline.Counts) int64
}

var logLabels = []string{"container", "declaration", "output"}

// both returns the definitions of a count. was is its name in the previous release, without the prefix.
func both(name, was string, kind Kind, help string, value func(*pipeline.Counts) int64) count {
	return count{
		log: Definition{Name: prefix + "log_" + name, Kind: kind, Help: help + ", by log.", Labels: logLabels, Was: prefix + was},
		all: Definition{Name: prefix + name, Kind: kind, Help: help + ", of all logs.", Was: prefix + "node_" + was}, value: value,
	}
}

var counts = []count{
	both("read_records_total", "records_read_total", Counter, "Records read to be delivered", func(c *pipeline.Counts) int64 { return c.ReadRecords }),
	both("read_bytes_total", "bytes_read_total", Counter, "Bytes of records read to be delivered", func(c *pipeline.Counts) int64 { return c.ReadBytes }),
	both("sent_records_total", "records_sent_total", Counter, "Records that the output acknowledged", func(c *pipeline.Counts) int64 { return c.SentRecords }),
	both("sent_bytes_total", "bytes_sent_total", Counter, "Bytes of records that the output acknowledged", func(c *pipeline.Counts) int64 { return c.SentBytes }),
	both("queued_records", "records_queued", Gauge, "Records that were read and are not acknowledged", func(c *pipeline.Counts) int64 { return c.QueuedRecords }),
	both("queued_bytes", "bytes_queued", Gauge, "Bytes of records that were read and are not acknowledged", func(c *pipeline.Counts) int64 { return c.QueuedBytes }),
	both("dropped_records_total", "records_dropped_total", Counter, "Records lost before they were read", func(c *pipeline.Counts) int64 { return c.DroppedRecords }),
	both("dropped_bytes_total", "bytes_dropped_total", Counter, "Bytes lost before they were read", func(c *pipeline.Counts) int64 { return c.DroppedBytes }),
	both("refused_records_total", "records_refused_total", Counter, "Records that the output refused for good", func(c *pipeline.Counts) int64 { return c.RefusedRecords }),
	both("refused_bytes_total", "bytes_refused_total", Counter, "Bytes of records that the output refused for good", func(c *pipeline.Counts) int64 { return c.RefusedBytes }),
	both("parked_records", "records_parked", Gauge, "Records on disk that wait for their destination to accept them", func(c *pipeline.Counts) int64 { return c.ParkedRecords }),
	both("parked_bytes", "bytes_parked", Gauge, "Bytes of records on disk that wait for their destination to accept them", func(c *pipeline.Counts) int64 { return c.ParkedBytes }),
}

// Metrics of every process that delivers.
var (
	logLagBytes = Definition{Name: prefix + "log_lag_bytes", Kind: Gauge, Labels: logLabels, Was: prefix + "lag_bytes",
		Help: "Bytes of the log that the output has not acknowledged."}
	logLagSeconds = Definition{Name: prefix + "log_lag_seconds", Kind: Gauge, Labels: logLabels, Was: prefix + "lag_seconds",
		Help: "Age of the oldest data of the log that the output has not acknowledged, in seconds; 0 if there are none."}
	gaps = Definition{Name: prefix + "gaps_total", Kind: Counter, Was: prefix + "node_gaps_total",
		Help: "Places in logs at which records were lost before they were read."}
	filteredRecords = Definition{Name: prefix + "filtered_records_total", Kind: Counter, Was: prefix + "node_records_filtered_total",
		Help: "Records that declared filters dropped."}
	unparsedRecords = Definition{Name: prefix + "unparsed_records_total", Kind: Counter, Was: prefix + "node_parse_errors_total",
		Help: "Records that did not match their format and were sent whole."}
	skippedBytes = Definition{Name: prefix + "skipped_bytes_total", Kind: Counter, Was: prefix + "node_bytes_skipped_total",
		Help: "Bytes that no record could be made of."}
	outputUp = Definition{Name: prefix + "output_up", Kind: Gauge, Labels: []string{"output"},
		Help: "Whether the last write to the output succeeded: 1, or 0."}
	outputLagBytes = Definition{Name: prefix + "output_lag_bytes", Kind: Gauge, Labels: []string{"output"},
		Help: "Bytes of all logs that the output has not acknowledged."}
	outputLagSeconds = Definition{Name: prefix + "output_lag_seconds", Kind: Gauge, Labels: []string{"output"},
		Help: "Lag of the log that is furthest behind at the output, in seconds."}
	outputConflicts = Definition{Name: prefix + "output_conflicts_total", Kind: Counter, Labels: []string{"output"},
		Help: "Records that were stored with a field as text, because its type did not fit."}
	deliveryDelay = Definition{Name: prefix + "delivery_delay_seconds", Kind: Histogram, Labels: []string{"output"},
		Help: "Time from when a record was written, or read where its writer noted no time, until the output acknowledged it."}
	logs                = Definition{Name: prefix + "logs", Kind: Gauge, Help: "Logs that are being collected."}
	declarationProblems = Definition{Name: prefix + "declaration_problems", Kind: Gauge, Labels: []string{"severity"},
		Help: "Errors and warnings about what containers and rules declare. What an error is about is not collected."}
	problems = Definition{Name: prefix + "problems", Kind: Gauge,
		Help: "Errors and warnings about what containers declare. Use remora_declaration_problems: this metric goes in the next release."}
	faults = Definition{Name: prefix + "faults", Kind: Gauge, Labels: []string{"component"},
		Help: "Things wrong with Remora itself, which its operator has to mend."}
	// ParkedDisk and ParkedLimit are the disk usage and the disk limit of parked records.
	ParkedDisk  = Definition{Name: prefix + "parked_disk_bytes", Kind: Gauge, Help: "Bytes on disk of parked records."}
	ParkedLimit = Definition{Name: prefix + "parked_disk_max_bytes", Kind: Gauge, Help: "Disk limit of parked records in bytes."}
	buildInfo   = Definition{Name: prefix + "build_info", Kind: Gauge, Labels: []string{"version"}, Was: prefix + "info",
		Help: "Version of this Remora; the value is 1."}
)

// Metrics of the ways in.
var (
	SpoolBytes    = Definition{Name: prefix + "spool_bytes", Kind: Gauge, From: "driver, node", Help: "Bytes of the spool on disk."}
	SpoolMaxBytes = Definition{Name: prefix + "spool_max_bytes", Kind: Gauge, From: "driver, node", Help: "Disk limit of the spool in bytes."}
	Streams       = Definition{Name: prefix + "streams", Kind: Gauge, From: "driver, node", Help: "Streams in the spool."}
	Captures      = Definition{Name: prefix + "captures", Kind: Gauge, From: "driver", Help: "FIFOs that are being captured."}
	LoggersHeld   = Definition{Name: prefix + "loggers_held", Kind: Gauge, From: "node",
		Help: "Containers that survive the death of their logger."}
	SpoolEvictedStreams = Definition{Name: prefix + "spool_evicted_streams_total", Kind: Counter, From: "driver",
		Help: "Streams of ended containers that were removed before they were delivered, because there were too many."}
	SpoolEvictedRecords = Definition{Name: prefix + "spool_evicted_records_total", Kind: Counter, From: "driver, node",
		Help: "Records lost with streams of ended containers that were removed before they were delivered, once for each output."}
	Files               = Definition{Name: prefix + "files", Kind: Gauge, From: "node, sidecar", Help: "Files that are followed."}
	FilesOpen           = Definition{Name: prefix + "files_open", Kind: Gauge, From: "node, sidecar", Help: "Files that are open."}
	FilesHeldBytes      = Definition{Name: prefix + "files_held_bytes", Kind: Gauge, From: "node, sidecar", Help: "Bytes on disk of deleted files that are not read to their end."}
	FilesHeldMaxBytes   = Definition{Name: prefix + "files_held_max_bytes", Kind: Gauge, From: "node, sidecar", Help: "Limit of these bytes: REMORA_MAX_DELETED_BYTES."}
	FilesLostBytes      = Definition{Name: prefix + "files_lost_bytes_total", Kind: Counter, From: "node, sidecar", Help: "Bytes truncated or deleted before they were read."}
	FilesStarted        = Definition{Name: prefix + "files_started_total", Kind: Counter, From: "node, sidecar", Help: "Files started, again after each truncation."}
	FilesTruncated      = Definition{Name: prefix + "files_truncated_total", Kind: Counter, From: "sidecar", Help: "Truncations of files."}
	FilesRotated        = Definition{Name: prefix + "files_rotated_total", Kind: Counter, From: "node, sidecar", Help: "Rotations of files."}
	FilesCopied         = Definition{Name: prefix + "files_copied_total", Kind: Counter, From: "node, sidecar", Help: "Files found to be copies of others, which are not read twice."}
	FilesRemoved        = Definition{Name: prefix + "files_removed_total", Kind: Counter, From: "sidecar", Help: "Rotated files that REMORA_DELETE_AFTER deleted."}
	Containers          = Definition{Name: prefix + "containers", Kind: Gauge, From: "node", Help: "Containers that are known."}
	ContainersCollected = Definition{Name: prefix + "containers_collected", Kind: Gauge, From: "node", Help: "Containers of which something is collected."}
)

// Metrics of the process itself, with the names of Prometheus' own clients.
var (
	processCPU     = Definition{Name: "process_cpu_seconds_total", Kind: Counter, Help: "CPU time of the process in seconds."}
	processMemory  = Definition{Name: "process_resident_memory_bytes", Kind: Gauge, Help: "Resident memory of the process in bytes."}
	processOpen    = Definition{Name: "process_open_fds", Kind: Gauge, Help: "Open descriptors of the process."}
	processMaxOpen = Definition{Name: "process_max_fds", Kind: Gauge, Help: "Limit of the process's open descriptors."}
	processStarted = Definition{Name: "process_start_time_seconds", Kind: Gauge, Help: "When the process started, in seconds since 1970."}
	goGoroutines   = Definition{Name: "go_goroutines", Kind: Gauge, Help: "Goroutines of the process."}
	goHeapLive     = Definition{Name: "go_memstats_heap_alloc_bytes", Kind: Gauge, Help: "Bytes of the heap in use."}
	goMemory       = Definition{Name: "go_memstats_sys_bytes", Kind: Gauge, Help: "Bytes of memory that Go has from the system."}
	goCycles       = Definition{Name: "go_gc_cycles_total", Kind: Counter, Help: "Garbage collections."}
	goInfo         = Definition{Name: "go_info", Kind: Gauge, Labels: []string{"version"}, Help: "Version of Go; the value is 1."}
)

// Catalogue returns every metric that Remora exports, in the order of the export; old names are not included.
func Catalogue() (all []*Definition) {
	for i := range counts {
		all = append(all, &counts[i].log, &counts[i].all)
	}
	return append(all, &logLagBytes, &logLagSeconds, &gaps, &filteredRecords, &unparsedRecords, &skippedBytes, &outputUp,
		&outputLagBytes, &outputLagSeconds, &outputConflicts, &deliveryDelay, &logs, &declarationProblems, &faults, &ParkedDisk,
		&ParkedLimit, &Containers, &ContainersCollected, &SpoolBytes, &SpoolMaxBytes, &Streams, &SpoolEvictedStreams,
		&SpoolEvictedRecords, &Captures, &LoggersHeld, &Files, &FilesOpen, &FilesHeldBytes, &FilesHeldMaxBytes, &FilesLostBytes,
		&FilesStarted, &FilesTruncated, &FilesRotated, &FilesCopied, &FilesRemoved, &buildInfo, &processCPU, &processMemory,
		&processOpen, &processMaxOpen, &processStarted, &goGoroutines, &goHeapLive, &goMemory, &goCycles, &goInfo)
}
