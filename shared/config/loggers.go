// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"time"
)

// Loggers is what the node agent can be set to that delivers what logging binaries capture.
type Loggers struct {
	Dir           string        `env:"REMORA_CONTAINERD_SPOOL" envDefault:"/var/lib/remora/containerd" doc:"Directory in which containerd's logging binary, remora-logger, stores what it captures. It is used once it exists"`
	Binary        string        `env:"REMORA_LOGGER" envDefault:"/usr/local/bin/remora-logger" doc:"Path of remora-logger, which the agent starts for a container whose logger has died"`
	SpoolMaxBytes int64         `env:"REMORA_SPOOL_MAX_BYTES" envDefault:"1073741824" doc:"Disk limit of the spool of all containers, in bytes"`
	SpoolMaxEach  int64         `env:"REMORA_SPOOL_MAX_BYTES_PER_CONTAINER" envDefault:"268435456" doc:"Disk limit of the spool per container, in bytes"`
	SpoolMinFree  int64         `env:"REMORA_SPOOL_MIN_FREE" envDefault:"1073741824" doc:"Free bytes that the spool leaves on the disk, but at most a tenth of the disk"`
	WhenFull      string        `env:"REMORA_WHEN_FULL" envDefault:"drop-oldest" doc:"Policy when the spool is full: drop-oldest, or block (the container waits)"`
	History       int64         `env:"REMORA_HISTORY_BYTES" envDefault:"67108864" doc:"Delivered bytes kept per container for remora-node logs, as long as the spool has room"`
	BlockTimeout  time.Duration `env:"REMORA_BLOCK_TIMEOUT" envDefault:"8s" doc:"Longest time that block makes a container wait, once until records are delivered again; then data are dropped"`
}

// Check implements settings.Checker.
func (l *Loggers) Check() error {
	return errors.Join(
		oneOf("REMORA_WHEN_FULL", l.WhenFull, "drop-oldest", "block"),
		atLeast("REMORA_SPOOL_MAX_BYTES", l.SpoolMaxBytes, 1<<20),
		atLeast("REMORA_SPOOL_MAX_BYTES_PER_CONTAINER", l.SpoolMaxEach, 1<<20),
		atLeast("REMORA_SPOOL_MIN_FREE", l.SpoolMinFree, 0),
		atLeast("REMORA_HISTORY_BYTES", l.History, 0),
		positive("REMORA_BLOCK_TIMEOUT", l.BlockTimeout),
	)
}
