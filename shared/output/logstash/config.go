// SPDX-License-Identifier: Apache-2.0

// Package logstash is the output for lumberjack, version 2, the protocol of Beats: to Logstash's input beats and its imitators.
//
// A record counts as delivered when it is in Logstash's queue, which is in memory unless it is configured to be persisted.
package logstash

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/output/internal/secure"
)

// Config holds the output's settings. The names are log-pilot's where it had them.
type Config struct {
	Host            string        `env:"LOGSTASH_HOST" doc:"Name or address of the server"`
	Port            int           `env:"LOGSTASH_PORT" envDefault:"5044" doc:"Port of LOGSTASH_HOST"`
	Hosts           []string      `env:"LOGSTASH_HOSTS" doc:"Instead of LOGSTASH_HOST: host:port of several servers, separated by commas"`
	LoadBalance     bool          `env:"LOGSTASH_LOADBALANCE" envDefault:"true" doc:"Spread connections over the servers; false uses the first that can be reached"`
	Worker          int           `env:"LOGSTASH_WORKER" envDefault:"0" doc:"Maximum number of in-flight batches; 0 means REMORA_WORKERS"`
	BulkMaxSize     int           `env:"LOGSTASH_BULK_MAX_SIZE" envDefault:"2048" doc:"Records per window, 1 to 2048; two windows are in flight on a connection"`
	Level           int           `env:"LOGSTASH_COMPRESSION_LEVEL" envDefault:"3" doc:"Compression level, 0 (none) to 9"`
	TTL             time.Duration `env:"LOGSTASH_TTL" envDefault:"5m" doc:"Lifetime of a connection, so that new servers behind a name get their share"`
	Index           string        `env:"LOGSTASH_INDEX" doc:"Value of [@metadata][beat], from which pipelines make the name of an index; by default filebeat"`
	BeatIndex       string        `env:"FILEBEAT_INDEX" doc:"Name of LOGSTASH_INDEX in log-pilot"`
	TLS             bool          `env:"LOGSTASH_TLS" envDefault:"false" doc:"Use TLS"`
	secure.Settings `envPrefix:"LOGSTASH_"`
	Timeout         time.Duration `env:"LOGSTASH_TIMEOUT" envDefault:"30s" doc:"Longest silence of the server. While its queue is full it reports every few seconds"`
}

// maxWindow is the largest window that servers accept by default.
const maxWindow = 2048

// Check reports invalid values, and completes c.
func (c *Config) Check() error {
	switch {
	case c.Host == "" && len(c.Hosts) == 0:
		return errors.New("LOGSTASH_HOST is not set (nor LOGSTASH_HOSTS); the output logstash needs a server")
	case c.Port < 1 || c.Port > 65535:
		return fmt.Errorf("LOGSTASH_PORT is %d; it must be 1 to 65535", c.Port)
	case c.Worker < 0 || c.Worker > 64:
		return fmt.Errorf("LOGSTASH_WORKER is %d; it must be 0 to 64", c.Worker)
	case c.BulkMaxSize < 1 || c.BulkMaxSize > maxWindow:
		return fmt.Errorf("LOGSTASH_BULK_MAX_SIZE is %d; it must be 1 to %d", c.BulkMaxSize, maxWindow)
	case c.Level < 0 || c.Level > 9:
		return fmt.Errorf("LOGSTASH_COMPRESSION_LEVEL is %d; it must be 0 to 9", c.Level)
	case c.TTL <= 0:
		return fmt.Errorf("LOGSTASH_TTL is %v; it must be more than nothing", c.TTL)
	case c.Timeout <= 0:
		return fmt.Errorf("LOGSTASH_TIMEOUT is %v; it must be more than nothing", c.Timeout)
	case !c.TLS && c.Settings != secure.Settings{Verify: true}:
		return errors.New("LOGSTASH_CA, LOGSTASH_CERT, LOGSTASH_KEY or LOGSTASH_SSL_VERIFY is set, but LOGSTASH_TLS is not true")
	}
	for i, address := range c.Hosts {
		c.Hosts[i] = strings.TrimSpace(address)
		if _, _, err := net.SplitHostPort(c.Hosts[i]); err != nil {
			return fmt.Errorf("LOGSTASH_HOSTS: %q is not host:port", address)
		}
	}
	if c.Index == "" {
		c.Index = c.BeatIndex
	}
	if c.Index == "" {
		c.Index = "filebeat"
	}
	return nil
}

func (c *Config) addresses() []string {
	if len(c.Hosts) > 0 {
		return c.Hosts
	}
	return []string{net.JoinHostPort(strings.Trim(c.Host, "[]"), strconv.Itoa(c.Port))}
}
