// SPDX-License-Identifier: Apache-2.0

// Package elasticsearch is the output for the bulk API of Elasticsearch 6.8 to 9 and of its imitators: OpenSearch and
// VictoriaLogs.
package elasticsearch

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/output/internal/aws"
	"github.com/remora-logs/remora/shared/output/internal/live"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/output/settings"
)

// Config holds the output's settings. The names are log-pilot's where it had them.
type Config struct {
	Hosts        []string `env:"ELASTICSEARCH_HOSTS" doc:"Hosts as host:port or URLs, separated by commas, used in turn; one that fails is skipped for a while. A URL's query is sent with each request"`
	Host         string   `env:"ELASTICSEARCH_HOST" doc:"Host, if ELASTICSEARCH_HOSTS is not set"`
	Port         int      `env:"ELASTICSEARCH_PORT" envDefault:"9200" doc:"Port of ELASTICSEARCH_HOST, and of ELASTICSEARCH_HOSTS that have none and are not URLs"`
	Scheme       string   `env:"ELASTICSEARCH_SCHEME" envDefault:"http" doc:"Scheme of hosts that are not URLs: http or https"`
	Path         string   `env:"ELASTICSEARCH_PATH" doc:"Path in front of the API's own, as a proxy may need"`
	web.Settings `envPrefix:"ELASTICSEARCH_"`
	APIKey       settings.Secret `env:"ELASTICSEARCH_API_KEY" secret:"true" doc:"API key instead of a user, encoded as Elasticsearch shows it"`
	AWS          aws.Settings    `envPrefix:"ELASTICSEARCH_"`
	AWSService   string          `env:"ELASTICSEARCH_AWS_SERVICE" envDefault:"es" doc:"AWS service that requests are signed for: es for OpenSearch Service, aoss for OpenSearch Serverless"`
	Index        string          `env:"ELASTICSEARCH_INDEX" envDefault:"{target}-{yyyy.MM.dd}" doc:"Index. {target} is the record's target, {k8s_pod_namespace} and the like a tag, and a date of yyyy, MM, dd, HH, or YYYY and ww for weeks, that of its time. -{yyyy.MM.dd} is added to a name without {}"`
	IndexZone    string          `env:"ELASTICSEARCH_INDEX_TIME_ZONE" envDefault:"UTC" doc:"Time zone of the dates in ELASTICSEARCH_INDEX, such as Asia/Shanghai, or Local"`
	Type         string          `env:"ELASTICSEARCH_TYPE" doc:"Type of records, for versions before 7; by default the index's own, which is asked for"`
	TypeDefault  string          `env:"ELASTICSEARCH_TYPE_DEFAULT" envDefault:"_doc" doc:"Type of indices that do not exist yet, for versions before 7; _doc is doc before 6.2. REMORA_COMPAT makes it doc (filebeat) or fluentd"`
	DataStream   bool            `env:"ELASTICSEARCH_DATA_STREAM" envDefault:"false" doc:"Write to data streams. The index is then {target} unless ELASTICSEARCH_INDEX is set"`
	Dedup        bool            `env:"ELASTICSEARCH_DEDUP" envDefault:"true" doc:"Use the record's identity as _id, so that a resent record is stored once. false saves Elasticsearch the look-up"`
	OnConflict   string          `env:"ELASTICSEARCH_ON_CONFLICT" envDefault:"refuse" doc:"What happens to a record that is refused for the type of one field: refuse, or text, which sends it once more with that field as text below conflict."`
	Worker       int             `env:"ELASTICSEARCH_WORKER" envDefault:"0" doc:"Maximum number of in-flight requests to all hosts; 0 means REMORA_WORKERS"`
	BulkMaxSize  int             `env:"ELASTICSEARCH_BULK_MAX_SIZE" envDefault:"0" doc:"Maximum number of records per request; 0 means no limit but REMORA_BATCH_BYTES"`
	Compression  web.Codec       `env:"ELASTICSEARCH_COMPRESSION" envDefault:"none" doc:"Compression: none, gzip, or zstd (which VictoriaLogs accepts and Elasticsearch does not)"`
	Timeout      time.Duration   `env:"ELASTICSEARCH_TIMEOUT" envDefault:"90s" doc:"Timeout of a request"`

	onlySettings bool
}

// OnlySettings keeps a named output from using credentialFile, which holds the password of one cluster.
func (c *Config) OnlySettings() { c.onlySettings = true }

// credentialFile is the path at which log-pilot looks for user:password, as a Swarm secret.
var credentialFile = "/run/secrets/es_credential"

// Check reports invalid values.
func (c *Config) Check() error {
	switch {
	case len(c.Hosts) == 0 && c.Host == "":
		return errors.New("ELASTICSEARCH_HOSTS is not set (nor ELASTICSEARCH_HOST); the output elasticsearch needs a host")
	case c.Scheme != "http" && c.Scheme != "https":
		return fmt.Errorf("ELASTICSEARCH_SCHEME is %q; it must be http or https", c.Scheme)
	case c.Port < 1 || c.Port > 65535:
		return fmt.Errorf("ELASTICSEARCH_PORT is %d; it must be 1 to 65535", c.Port)
	case c.Worker < 0 || c.Worker > 64:
		return fmt.Errorf("ELASTICSEARCH_WORKER is %d; it must be 0 to 64", c.Worker)
	case c.BulkMaxSize < 0:
		return fmt.Errorf("ELASTICSEARCH_BULK_MAX_SIZE is %d; it must not be negative", c.BulkMaxSize)
	case c.OnConflict != conflictRefuse && c.OnConflict != conflictText:
		return fmt.Errorf("ELASTICSEARCH_ON_CONFLICT is %q; it must be refuse or text", c.OnConflict)
	case c.Type != "" && !typeName.MatchString(c.Type):
		return fmt.Errorf("ELASTICSEARCH_TYPE is %q; it must be made of letters, digits, _, . and -", c.Type)
	case !typeName.MatchString(c.TypeDefault):
		return fmt.Errorf("ELASTICSEARCH_TYPE_DEFAULT is %q; it must be made of letters, digits, _, . and -", c.TypeDefault)
	case c.Timeout <= 0:
		return fmt.Errorf("ELASTICSEARCH_TIMEOUT is %v; it must be more than nothing", c.Timeout)
	case c.User != "" && c.APIKey.IsSet():
		return errors.New("ELASTICSEARCH_USER and ELASTICSEARCH_API_KEY are both set; set one of them")
	}
	zone, err := time.LoadLocation(c.IndexZone)
	if err != nil {
		return fmt.Errorf("ELASTICSEARCH_INDEX_TIME_ZONE: %w", err)
	}
	if _, err := parseIndex(c.indexPattern(), zone); err != nil {
		return fmt.Errorf("ELASTICSEARCH_INDEX is %q: %w", c.Index, err)
	}
	if c.AWS.Region != "" && (c.User != "" || c.APIKey.IsSet() || c.Bearer.IsSet() || c.TokenURL != "") {
		return errors.New("ELASTICSEARCH_AWS_REGION is set beside a user, a key or a token; set one of them")
	}
	if err := c.AWS.Check("ELASTICSEARCH_"); err != nil {
		return err
	}
	return c.Compression.Check("ELASTICSEARCH_COMPRESSION")
}

// indexPattern returns Index, completed by the defaults that depend on it.
func (c *Config) indexPattern() string {
	switch {
	case c.DataStream && c.Index == "{target}-{yyyy.MM.dd}":
		return "{target}"
	case !strings.Contains(c.Index, "{") && !c.DataStream:
		return c.Index + "-{yyyy.MM.dd}"
	}
	return c.Index
}

// nodes returns the hosts, and the user that one of their URLs names.
func (c *Config) nodes() (*web.Nodes, *url.Userinfo, error) {
	hosts, variable := make([]string, len(c.Hosts)), "ELASTICSEARCH_HOSTS"
	for i, host := range c.Hosts {
		hosts[i] = withPort(strings.TrimSpace(host), c.Port)
	}
	if len(hosts) == 0 {
		hosts, variable = []string{fmt.Sprintf("%s:%d", c.Host, c.Port)}, "ELASTICSEARCH_HOST"
	}
	nodes, inURL, err := web.ParseNodes(hosts, c.Scheme, c.Path)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", variable, err)
	}
	if nodes.Len() == 0 {
		return nil, nil, fmt.Errorf("%s names no host", variable)
	}
	return nodes, inURL, nil
}

// withPort adds port to a host that has none and is not a URL: 9200 by default, as Filebeat does, and not HTTP's 80.
func withPort(host string, port int) string {
	if host == "" || strings.Contains(host, "://") {
		return host
	}
	user, address := "", host
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		user, address = host[:at+1], host[at+1:]
	}
	address, path, below := strings.Cut(address, "/")
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), strconv.Itoa(port))
	}
	if below {
		path = "/" + path
	}
	return user + address + path
}

// login returns the credentials for the hosts.
func (c *Config) login(inURL *url.Userinfo) (*web.Login, error) {
	login, err := c.Login("ELASTICSEARCH_", inURL)
	if err != nil {
		return nil, err
	}
	login.APIKey = c.APIKey
	if !c.onlySettings {
		credentials, err := live.Open(credentialFile)
		switch {
		case err == nil:
			login.Credentials = credentials
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return login, nil
}

// client returns the client that sends requests.
func (c *Config) client(inURL *url.Userinfo) (*web.Client, error) {
	login, err := c.login(inURL)
	if err != nil {
		return nil, err
	}
	o := web.Options{Login: login, Codec: c.Compression, Timeout: c.Timeout}
	if c.AWS.Region != "" {
		provider := aws.NewProvider(c.AWS)
		o.Sign = func(r *http.Request, body []byte) error {
			credentials, err := provider.Get(r.Context())
			if err == nil {
				aws.Sign(r, body, credentials, c.AWS.Region, c.AWSService, time.Now())
			}
			return err
		}
	}
	return c.NewClient("ELASTICSEARCH_", o)
}
