// SPDX-License-Identifier: Apache-2.0

// Package syslog is the output for syslog: RFC 5424 or RFC 3164, over UDP, TCP, TLS (RFC 5425, 5426, 6587) or RELP.
//
// A record counts as delivered, over RELP, when it is in the server's queue; over TCP and TLS, when the server's kernel has
// it; over UDP, when the local kernel has sent it.
package syslog

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
)

// Config holds the output's settings. The names are log-pilot's where it had them.
type Config struct {
	Host            string        `env:"SYSLOG_HOST" doc:"Name or address of the server"`
	Port            int           `env:"SYSLOG_PORT" envDefault:"0" doc:"Port of the server; 0 is 514, 6514 for tls, 20514 for relp"`
	Protocol        string        `env:"SYSLOG_PROTOCOL" envDefault:"udp" doc:"Protocol: udp, tcp, tls, relp or relp+tls. Only RELP has acknowledgements"`
	Format          string        `env:"SYSLOG_FORMAT" envDefault:"rfc5424" doc:"Format: rfc5424, with fields and tags as structured data, or rfc3164, with the line alone"`
	Framing         string        `env:"SYSLOG_FRAMING" envDefault:"octets" doc:"Framing for tcp and tls: octets counts bytes and keeps lines together (rsyslog, syslog-ng's syslog()); lf ends messages with a newline, and newlines within a record become #012 (syslog-ng's network(), Logstash, Graylog). The wrong one destroys records"`
	Facility        string        `env:"SYSLOG_FACILITY" envDefault:"user" doc:"Facility, such as kern, user, daemon, local0 to local7"`
	Severity        string        `env:"SYSLOG_SEVERITY" envDefault:"auto" doc:"Severity, such as err, warning, notice, info; auto takes it from the record's field level or severity, else err for stderr and info for the rest"`
	Tag             string        `env:"SYSLOG_TAG" envDefault:"{target}" doc:"APP-NAME, at most 48 characters; {target}, {declaration} and {TAG} stand for the record's values"`
	MaxSize         int           `env:"SYSLOG_MAX_SIZE" envDefault:"0" doc:"Maximum size of a whole message in bytes; longer ones are cut and marked as truncated. 0 is 65536, or 8192 over UDP. rsyslog accepts 8192 unless its maxMessageSize is set"`
	Resend          time.Duration `env:"SYSLOG_RESEND" envDefault:"2s" doc:"Over tcp and tls, resend what was written within this time before a connection broke, because nobody acknowledged it; 0s sends nothing twice"`
	secure.Settings `envPrefix:"SYSLOG_"`
	Timeout         time.Duration `env:"SYSLOG_TIMEOUT" envDefault:"30s" doc:"Timeout of a request to the server"`
}

var (
	facilities = []string{
		"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit",
		"alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
	}
	severities = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
)

// Check reports invalid values, and completes c.
func (c *Config) Check() error {
	switch {
	case c.Host == "":
		return errors.New("SYSLOG_HOST is not set; the output syslog needs a server")
	case c.Port < 0 || c.Port > 65535:
		return fmt.Errorf("SYSLOG_PORT is %d; it must be 1 to 65535", c.Port)
	case !slices.Contains([]string{"udp", "tcp", "tls", "relp", "relp+tls"}, c.Protocol):
		return fmt.Errorf("SYSLOG_PROTOCOL is %q; it must be udp, tcp, tls, relp or relp+tls", c.Protocol)
	case c.Format != "rfc5424" && c.Format != "rfc3164":
		return fmt.Errorf("SYSLOG_FORMAT is %q; it must be rfc5424 or rfc3164", c.Format)
	case c.Framing != "octets" && c.Framing != "lf":
		return fmt.Errorf("SYSLOG_FRAMING is %q; it must be octets or lf", c.Framing)
	case !slices.Contains(facilities, c.Facility):
		return fmt.Errorf("SYSLOG_FACILITY is %q; it must be one of %s", c.Facility, strings.Join(facilities, ", "))
	case c.Severity != "auto" && !slices.Contains(severities, c.Severity):
		return fmt.Errorf("SYSLOG_SEVERITY is %q; it must be auto or one of %s", c.Severity, strings.Join(severities, ", "))
	case c.Resend < 0:
		return fmt.Errorf("SYSLOG_RESEND is %v; it must not be negative", c.Resend)
	case c.Timeout <= 0:
		return fmt.Errorf("SYSLOG_TIMEOUT is %v; it must be more than nothing", c.Timeout)
	}
	if _, err := template.Parse(c.Tag); err != nil {
		return fmt.Errorf("SYSLOG_TAG is %q: %w", c.Tag, err)
	}
	return c.checkSize()
}

const (
	defaultSize, defaultUDP = 64 << 10, 8 << 10
	// maxUDP is the longest payload of a datagram. maxRELP is librelp's default limit; it ends a session that exceeds it.
	minSize, maxUDP, maxRELP, maxTCP = 480, 65507, 128 << 10, 16 << 20
)

func (c *Config) checkSize() error {
	most := maxTCP
	switch {
	case c.Protocol == "udp":
		most = maxUDP
	case strings.HasPrefix(c.Protocol, "relp"):
		most = maxRELP
	}
	switch {
	case c.MaxSize == 0 && c.Protocol == "udp":
		c.MaxSize = defaultUDP
	case c.MaxSize == 0:
		c.MaxSize = defaultSize
	case c.MaxSize < minSize || c.MaxSize > most:
		return fmt.Errorf("SYSLOG_MAX_SIZE is %d; over %s it must be %d to %d", c.MaxSize, c.Protocol, minSize, most)
	}
	return nil
}

// address returns the server's address.
func (c *Config) address() string {
	port := c.Port
	if port == 0 {
		port = map[string]int{"tls": 6514, "relp": 20514, "relp+tls": 20514}[c.Protocol]
	}
	if port == 0 {
		port = 514
	}
	return net.JoinHostPort(strings.Trim(c.Host, "[]"), strconv.Itoa(port))
}
