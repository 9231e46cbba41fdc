// SPDX-License-Identifier: Apache-2.0

// Package redis is the output for Redis: lists, streams or channels of one node, of a master known to Sentinels, or of a cluster.
//
// A record counts as delivered when it is in the memory of the node, and of REDIS_WAIT_REPLICAS replicas. A channel stores
// nothing: a client that is not subscribed at the time never gets a record.
package redis

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/output/internal/secure"
	"github.com/remora-logs/remora/shared/output/internal/template"
	"github.com/remora-logs/remora/shared/output/settings"
)

// Config holds the output's settings. The names are log-pilot's where it had them.
type Config struct {
	Host             string          `env:"REDIS_HOST" doc:"Name or address of the server"`
	Port             int             `env:"REDIS_PORT" envDefault:"6379" doc:"Port of REDIS_HOST"`
	Hosts            []string        `env:"REDIS_HOSTS" doc:"Instead of REDIS_HOST: host:port of nodes of a cluster, or of the Sentinels, separated by commas"`
	SentinelMaster   string          `env:"REDIS_SENTINEL_MASTER" doc:"Name of the master; REDIS_HOSTS then names the Sentinels"`
	SentinelUser     string          `env:"REDIS_SENTINEL_USERNAME" doc:"User at the Sentinels"`
	SentinelPassword settings.Secret `env:"REDIS_SENTINEL_PASSWORD" secret:"true" doc:"Password at the Sentinels"`
	Username         string          `env:"REDIS_USERNAME" doc:"User of the server's access list; by default the user default. It needs the command of REDIS_DATATYPE, and WAIT and SELECT if they are used"`
	Password         settings.Secret `env:"REDIS_PASSWORD" secret:"true" doc:"Password of the user"`
	DB               int             `env:"REDIS_DB" envDefault:"0" doc:"Number of the database"`
	Datatype         string          `env:"REDIS_DATATYPE" envDefault:"list" doc:"Type: list (RPUSH), stream (XADD, as the field record) or channel (PUBLISH)"`
	Key              string          `env:"REDIS_KEY" envDefault:"{target}" doc:"Key of the list or stream, or the channel; {target}, {declaration} and {TAG} stand for the record's values. log-pilot's was filebeat"`
	MaxLength        int64           `env:"REDIS_MAX_LENGTH" envDefault:"0" doc:"Approximate number of entries that a stream keeps; 0 keeps all. Lists are never trimmed"`
	Idempotent       bool            `env:"REDIS_IDEMPOTENT" envDefault:"false" doc:"For streams on Redis 8.6 or later: give entries identities (IDMP), so that a resent record is stored once, as far as the stream's IDMP-MAXSIZE and IDMP-DURATION reach"`
	WaitReplicas     int             `env:"REDIS_WAIT_REPLICAS" envDefault:"0" doc:"Number of replicas that must have a batch before it is acknowledged"`
	TLS              bool            `env:"REDIS_TLS" envDefault:"false" doc:"Use TLS"`
	CA               string          `env:"REDIS_SSL_CA" doc:"File with the certificate authorities to trust, PEM; by default the system's. Read again when it changes, like the two below"`
	Cert             string          `env:"REDIS_SSL_CERT" doc:"File with the client certificate, PEM"`
	CertKey          string          `env:"REDIS_SSL_KEY" doc:"File with the client certificate's key, PEM"`
	Verify           bool            `env:"REDIS_SSL_VERIFY" envDefault:"true" doc:"Verify the servers' certificates"`
	Timeout          time.Duration   `env:"REDIS_TIMEOUT" envDefault:"5s" doc:"Timeout of a request, per MiB"`
}

// Check reports invalid values.
func (c *Config) Check() error {
	switch {
	case c.Host == "" && len(c.Hosts) == 0:
		return errors.New("REDIS_HOST is not set (nor REDIS_HOSTS); the output redis needs a server")
	case c.Port < 1 || c.Port > 65535:
		return fmt.Errorf("REDIS_PORT is %d; it must be 1 to 65535", c.Port)
	case c.SentinelMaster != "" && len(c.Hosts) == 0:
		return errors.New("REDIS_SENTINEL_MASTER is set; REDIS_HOSTS must name the Sentinels")
	case c.Username != "" && !c.Password.IsSet():
		return errors.New("REDIS_USERNAME is set, but REDIS_PASSWORD is not")
	case c.DB < 0 || c.DB > 1<<16:
		return fmt.Errorf("REDIS_DB is %d; it must be the number of a database", c.DB)
	case !slices.Contains([]string{"list", "stream", "channel"}, c.Datatype):
		return fmt.Errorf("REDIS_DATATYPE is %q; it must be list, stream or channel", c.Datatype)
	case c.Key == "":
		return errors.New("REDIS_KEY is empty")
	case c.MaxLength < 0 || c.MaxLength > 0 && c.Datatype != "stream":
		return fmt.Errorf("REDIS_MAX_LENGTH is %d; it must not be negative, and is for streams", c.MaxLength)
	case c.Idempotent && c.Datatype != "stream":
		return errors.New("REDIS_IDEMPOTENT is for streams")
	case c.WaitReplicas < 0:
		return fmt.Errorf("REDIS_WAIT_REPLICAS is %d; it must not be negative", c.WaitReplicas)
	case c.Timeout <= 0:
		return fmt.Errorf("REDIS_TIMEOUT is %v; it must be more than nothing", c.Timeout)
	case !c.TLS && (c.CA != "" || c.Cert != "" || c.CertKey != ""):
		return errors.New("REDIS_SSL_CA, REDIS_SSL_CERT or REDIS_SSL_KEY is set, but REDIS_TLS is not true")
	}
	for i, address := range c.Hosts {
		c.Hosts[i] = strings.TrimSpace(address)
		if _, _, err := net.SplitHostPort(c.Hosts[i]); err != nil {
			return fmt.Errorf("REDIS_HOSTS: %q is not host:port", address)
		}
	}
	if _, err := template.Parse(c.Key); err != nil {
		return fmt.Errorf("REDIS_KEY is %q: %w", c.Key, err)
	}
	return nil
}

func (c *Config) addresses() []string {
	if len(c.Hosts) > 0 {
		return c.Hosts
	}
	return []string{net.JoinHostPort(strings.Trim(c.Host, "[]"), strconv.Itoa(c.Port))}
}

// tls returns the source of TLS configurations; nil if TLS is off.
func (c *Config) tls() (*secure.Source, error) {
	if !c.TLS {
		return nil, nil
	}
	return secure.Settings{Verify: c.Verify, CA: c.CA, Cert: c.Cert, Key: c.CertKey}.Open("REDIS_SSL_")
}
