// SPDX-License-Identifier: Apache-2.0

// Package graylog is the output that sends GELF 1.1, to Graylog and other servers, over UDP, TCP, TLS or HTTP.
//
// A record counts as delivered, over HTTP, when it is in the input's buffer or journal; over TCP and TLS, when the server's
// kernel has it; over UDP, when the local kernel has sent it. Graylog does not report whether it could decode a message.
package graylog

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/output/internal/secure"
	"github.com/remora-logs/remora/shared/output/internal/web"
)

// Config holds the output's settings. The names are log-pilot's where it had them.
type Config struct {
	Host            string        `env:"GRAYLOG_HOST" doc:"Name or address of the server"`
	Port            int           `env:"GRAYLOG_PORT" envDefault:"12201" doc:"Port of the input"`
	Protocol        string        `env:"GRAYLOG_PROTOCOL" envDefault:"udp" doc:"Protocol: udp, tcp, tls, http or https. Only the last two have acknowledgements"`
	Compression     string        `env:"GRAYLOG_COMPRESSION" envDefault:"gzip" doc:"Compression for udp, http and https: gzip or none"`
	ChunkSize       int           `env:"GRAYLOG_CHUNK_SIZE" envDefault:"1420" doc:"Size of a datagram in bytes, at most 8192. A message of more than 128 datagrams is cut"`
	Path            string        `env:"GRAYLOG_HTTP_PATH" envDefault:"/gelf" doc:"Path of the input, for http and https"`
	Bulk            bool          `env:"GRAYLOG_HTTP_BULK" envDefault:"false" doc:"Send many messages per request, which needs Enable Bulk Receiving in the input; false sends a request per record"`
	MaxSize         int           `env:"GRAYLOG_MAX_SIZE" envDefault:"2000000" doc:"Maximum size of a message in bytes; longer lines are cut and marked as truncated. Graylog's own limit over TCP is 2097152"`
	Resend          time.Duration `env:"GRAYLOG_RESEND" envDefault:"2s" doc:"Over tcp and tls, resend what was written within this time before a connection broke, because nobody acknowledged it; 0s sends nothing twice"`
	secure.Settings `envPrefix:"GRAYLOG_"`
	Timeout         time.Duration `env:"GRAYLOG_TIMEOUT" envDefault:"30s" doc:"Timeout of a request to the server"`
}

const (
	maxChunks   = 128  // of a message (GELF, "Chunking")
	chunkHeader = 12   // bytes in front of each chunk
	maxChunk    = 8192 // what Graylog reads of a datagram
	minSize     = 1024
	maxSize     = 16 << 20
)

// Check reports invalid values.
func (c *Config) Check() error {
	switch {
	case c.Host == "":
		return errors.New("GRAYLOG_HOST is not set; the output graylog needs a server")
	case c.Port < 1 || c.Port > 65535:
		return fmt.Errorf("GRAYLOG_PORT is %d; it must be 1 to 65535", c.Port)
	case !slices.Contains([]string{"udp", "tcp", "tls", "http", "https"}, c.Protocol):
		return fmt.Errorf("GRAYLOG_PROTOCOL is %q; it must be udp, tcp, tls, http or https", c.Protocol)
	case c.Compression != "gzip" && c.Compression != "none":
		return fmt.Errorf("GRAYLOG_COMPRESSION is %q; it must be gzip or none", c.Compression)
	case c.ChunkSize < 64 || c.ChunkSize > maxChunk:
		return fmt.Errorf("GRAYLOG_CHUNK_SIZE is %d; it must be 64 to %d", c.ChunkSize, maxChunk)
	case c.MaxSize < minSize || c.MaxSize > maxSize:
		return fmt.Errorf("GRAYLOG_MAX_SIZE is %d; it must be %d to %d", c.MaxSize, minSize, maxSize)
	case c.Resend < 0:
		return fmt.Errorf("GRAYLOG_RESEND is %v; it must not be negative", c.Resend)
	case c.Timeout <= 0:
		return fmt.Errorf("GRAYLOG_TIMEOUT is %v; it must be more than nothing", c.Timeout)
	case c.Protocol != "tls" && c.Protocol != "https" && c.Settings != secure.Settings{Verify: true}:
		return errors.New("GRAYLOG_CA, GRAYLOG_CERT, GRAYLOG_KEY or GRAYLOG_SSL_VERIFY is set, but GRAYLOG_PROTOCOL is neither tls nor https")
	}
	return nil
}

func (c *Config) address() string {
	return net.JoinHostPort(strings.Trim(c.Host, "[]"), strconv.Itoa(c.Port))
}

// client returns the client that sends requests, and the input's URL.
func (c *Config) client() (*web.Client, *url.URL, error) {
	var source *secure.Source
	if c.Protocol == "https" {
		var err error
		if source, err = c.Open("GRAYLOG_"); err != nil {
			return nil, nil, err
		}
	}
	codec := web.None
	if c.Compression == "gzip" {
		codec = web.Gzip
	}
	u := &url.URL{Scheme: c.Protocol, Host: c.address(), Path: "/" + strings.TrimLeft(c.Path, "/")}
	return web.NewClient(web.Options{TLS: source, Codec: codec, Timeout: c.Timeout}), u, nil
}
