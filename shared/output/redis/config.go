// SPDX-License-Identifier: Apache-2.0

// Package redis is the output that pushes records to Redis: to lists, streams or channels of one node, a master that
// Sentinels know, or a cluster.
//
// Delivered means: in the memory of the node, and of as many replicas as REDIS_WAIT_REPLICAS asks for. A channel keeps
// nothing: who does not listen at the time never gets a record.
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

// Config is what can be set. The names are log-pilot's where it had them.
type Config struct {
	Host             string          `env:"REDIS_HOST" doc:"the server's name or address"`
	Port             int             `env:"REDIS_PORT" envDefault:"6379" doc:"the port beside REDIS_HOST"`
	Hosts            []string        `env:"REDIS_HOSTS" doc:"instead of REDIS_HOST: host:port of nodes of a cluster, or of the Sentinels, separated by commas"`
	SentinelMaster   string          `env:"REDIS_SENTINEL_MASTER" doc:"name of the master to ask the Sentinels for, which REDIS_HOSTS then are"`
	SentinelUser     string          `env:"REDIS_SENTINEL_USERNAME" doc:"user at the Sentinels"`
	SentinelPassword settings.Secret `env:"REDIS_SENTINEL_PASSWORD" secret:"true" doc:"password at the Sentinels"`
	Username         string          `env:"REDIS_USERNAME" doc:"user of the server's access list; default where not set. It needs the command of REDIS_DATATYPE, and no other but WAIT and SELECT where they are used"`
	Password         settings.Secret `env:"REDIS_PASSWORD" secret:"true" doc:"the user's password"`
	DB               int             `env:"REDIS_DB" envDefault:"0" doc:"number of the database"`
	Datatype         string          `env:"REDIS_DATATYPE" envDefault:"list" doc:"list (RPUSH), stream (XADD, as the field record) or channel (PUBLISH)"`
	Key              string          `env:"REDIS_KEY" envDefault:"{target}" doc:"key of the list or stream, or the channel; {target}, {declaration} and {any tag} stand for the record's. log-pilot's was filebeat"`
	MaxLength        int64           `env:"REDIS_MAX_LENGTH" envDefault:"0" doc:"about how many entries a stream keeps; 0 keeps all. Lists are never trimmed"`
	Idempotent       bool            `env:"REDIS_IDEMPOTENT" envDefault:"false" doc:"for streams on Redis 8.6 and later: entries have identities (IDMP), so that what is sent twice is stored once, as far as the stream's IDMP-MAXSIZE and IDMP-DURATION reach"`
	WaitReplicas     int             `env:"REDIS_WAIT_REPLICAS" envDefault:"0" doc:"how many replicas have to have a batch before it is acknowledged"`
	TLS              bool            `env:"REDIS_TLS" envDefault:"false" doc:"whether to speak TLS"`
	CA               string          `env:"REDIS_SSL_CA" doc:"file with the authorities to trust, PEM; the system's where not set. It is read again when it changes, as are the two below"`
	Cert             string          `env:"REDIS_SSL_CERT" doc:"file with the client's certificate, PEM"`
	CertKey          string          `env:"REDIS_SSL_KEY" doc:"file with the key to it, PEM"`
	Verify           bool            `env:"REDIS_SSL_VERIFY" envDefault:"true" doc:"whether the servers' certificates are checked"`
	Timeout          time.Duration   `env:"REDIS_TIMEOUT" envDefault:"5s" doc:"how long the server may take for a mebibyte"`
}

// Check reports values that can't be worked with.
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

// tls is the source of TLS configurations; nil where it is not spoken.
func (c *Config) tls() (*secure.Source, error) {
	if !c.TLS {
		return nil, nil
	}
	return secure.Settings{Verify: c.Verify, CA: c.CA, Cert: c.Cert, Key: c.CertKey}.Open("REDIS_SSL_")
}
