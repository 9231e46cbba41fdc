// SPDX-License-Identifier: Apache-2.0

// Package sls is the output for Alibaba Cloud's Simple Log Service.
//
// A record counts as delivered when it is stored.
package sls

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/output/internal/live"
	"github.com/remora-logs/remora/shared/output/internal/secure"
	"github.com/remora-logs/remora/shared/output/internal/template"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/output/settings"
)

// Config holds the output's settings. The names are log-pilot's where it had them.
type Config struct {
	Project         string          `env:"ALIYUNSLS_PROJECT" doc:"Project. A record's target is its logstore"`
	Projects        []string        `env:"ALIYUNSLS_PROJECTS" doc:"Other projects that logs may name (key project), separated by commas; a log that names one that is not listed goes to ALIYUNSLS_PROJECT"`
	Endpoint        string          `env:"ALIYUNSLS_REGION_ENDPOINT" doc:"Endpoint of the region, such as cn-hangzhou.log.aliyuncs.com; a URL with http:// means no TLS"`
	KeyID           string          `env:"ALIYUNSLS_ACCESS_KEY_ID" doc:"Id of the access key; /run/secrets/aliyun_access_key (id:secret) takes precedence, as in log-pilot"`
	KeySecret       settings.Secret `env:"ALIYUNSLS_ACCESS_KEY_SECRET" secret:"true" doc:"Secret of the access key"`
	Token           settings.Secret `env:"ALIYUNSLS_SECURITY_TOKEN" secret:"true" doc:"Token of STS, for a temporary access key"`
	Signature       string          `env:"ALIYUNSLS_SIGNATURE" envDefault:"auto" doc:"Signature: v1, v4, or auto (v4 if the region is known)"`
	Region          string          `env:"ALIYUNSLS_REGION" doc:"Region for v4 signatures; by default that of the endpoint"`
	Compression     string          `env:"ALIYUNSLS_COMPRESSION" envDefault:"lz4" doc:"Compression: lz4, zstd or none"`
	Topic           string          `env:"ALIYUNSLS_TOPIC" envDefault:"{host}" doc:"Value of __topic__; {target}, {declaration}, {source} and {TAG} stand for the record's values"`
	Create          bool            `env:"ALIYUNSLS_NEED_CREATE_LOGSTORE" envDefault:"false" doc:"Create missing logstores"`
	TTL             int             `env:"ALIYUNSLS_CREATE_LOGSTORE_TTL" envDefault:"1" doc:"Days that a created logstore keeps records"`
	Shards          int             `env:"ALIYUNSLS_CREATE_LOGSTORE_SHARD_COUNT" envDefault:"2" doc:"Number of shards of a created logstore"`
	secure.Settings `envPrefix:"ALIYUNSLS_"`
	Timeout         time.Duration `env:"ALIYUNSLS_TIMEOUT" envDefault:"30s" doc:"Timeout of a request"`

	onlySettings bool
}

// OnlySettings keeps a named output from using keyFile, which holds the key of one account.
func (c *Config) OnlySettings() { c.onlySettings = true }

// keyFile is the path at which log-pilot looks for id:secret, as a Swarm secret.
var keyFile = "/run/secrets/aliyun_access_key"

// ofRegion matches the cloud's own endpoints, which name the region.
var ofRegion = regexp.MustCompile(`^([a-z]+-[a-z0-9-]+?)(?:-intranet|-vpc|-internal|-share)?\.log\.aliyuncs\.com$`)

// Check reports invalid values, and completes c.
func (c *Config) Check() error {
	switch {
	case c.Project == "":
		return errors.New("ALIYUNSLS_PROJECT is not set; the output aliyun_sls needs a project")
	case len(c.Projects) > maxProjects:
		return fmt.Errorf("ALIYUNSLS_PROJECTS lists %d projects; at most %d are possible", len(c.Projects), maxProjects)
	case c.Endpoint == "":
		return errors.New("ALIYUNSLS_REGION_ENDPOINT is not set; the output aliyun_sls needs the endpoint of a region")
	case !slices.Contains([]string{"auto", "v1", "v4"}, c.Signature):
		return fmt.Errorf("ALIYUNSLS_SIGNATURE is %q; it must be auto, v1 or v4", c.Signature)
	case !slices.Contains([]string{"lz4", "zstd", "none"}, c.Compression):
		return fmt.Errorf("ALIYUNSLS_COMPRESSION is %q; it must be lz4, zstd or none", c.Compression)
	case c.TTL < 1 || c.TTL > 3650:
		return fmt.Errorf("ALIYUNSLS_CREATE_LOGSTORE_TTL is %d; it must be 1 to 3650 (days)", c.TTL)
	case c.Shards < 1 || c.Shards > 100:
		return fmt.Errorf("ALIYUNSLS_CREATE_LOGSTORE_SHARD_COUNT is %d; it must be 1 to 100", c.Shards)
	case c.Timeout <= 0:
		return fmt.Errorf("ALIYUNSLS_TIMEOUT is %v; it must be more than nothing", c.Timeout)
	}
	if _, err := template.Parse(c.Topic); err != nil {
		return fmt.Errorf("ALIYUNSLS_TOPIC is %q: %w", c.Topic, err)
	}
	u, err := web.ParseURL(c.Endpoint, "https")
	if err != nil {
		return fmt.Errorf("ALIYUNSLS_REGION_ENDPOINT: %w", err)
	}
	if m := ofRegion.FindStringSubmatch(u.Hostname()); m != nil && c.Region == "" {
		c.Region = m[1]
	}
	if c.Signature == "v4" && c.Region == "" {
		return errors.New("ALIYUNSLS_SIGNATURE is v4; ALIYUNSLS_REGION must be set, because the endpoint does not tell it")
	}
	return nil
}

// credentials returns the access key.
func (c *Config) credentials() (*credentials, error) {
	k := &credentials{id: c.KeyID, secret: c.KeySecret, token: c.Token}
	file, err := live.Open(keyFile)
	if c.onlySettings {
		file, err = nil, fs.ErrNotExist
	}
	switch {
	case err == nil:
		k.file = file
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case c.KeyID == "" || !c.KeySecret.IsSet():
		return nil, errors.New("ALIYUNSLS_ACCESS_KEY_ID and ALIYUNSLS_ACCESS_KEY_SECRET are not set, and there is no " + keyFile)
	}
	return k, nil
}

// maxProjects bounds the projects of one output, because each has its own connections.
const maxProjects = 64

// project is a project, which holds logstores, and the client for it.
type project struct {
	name   string
	client *web.Client
	url    *url.URL
}

// open returns the project of that name. It sends nothing to the service.
func (c *Config) open(name string) (*project, error) {
	u, err := web.ParseURL(c.Endpoint, "https")
	if err != nil {
		return nil, fmt.Errorf("ALIYUNSLS_REGION_ENDPOINT: %w", err)
	}
	u.User, u.Path = nil, ""
	u.Host = strings.TrimPrefix(u.Host, c.Project+".") // the endpoint may include the project
	host := name + "." + u.Host
	if net.ParseIP(u.Hostname()) == nil { // with an IP address, only the header names the project
		u.Host = host
	}
	key, err := c.credentials()
	if err != nil {
		return nil, err
	}
	tls, err := c.Open("ALIYUNSLS_")
	if err != nil {
		return nil, err
	}
	region := ""
	if c.Signature != "v1" {
		region = c.Region
	}
	s := &signer{key: key, host: host, region: region, now: time.Now}
	return &project{name, web.NewClient(web.Options{TLS: tls, Codec: web.None, Timeout: c.Timeout, Sign: s.sign}), u}, nil
}
