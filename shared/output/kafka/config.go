// SPDX-License-Identifier: Apache-2.0

// Package kafka is the output that produces records to Kafka topics.
//
// The pipeline already makes batches. Kafka's record batches are encoded straight from them (encode.go, batch.go), and
// franz-go's client sends them: it dials, authenticates, negotiates versions and exchanges requests. Its producer, which
// collects records one by one, is not used. The rest of a producer's work is done here: sequence numbers, so that a batch
// whose answer was lost is stored once (sequence.go), and routing to leaders (topics.go, send.go).
package kafka

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
	"github.com/twmb/franz-go/pkg/sasl"
	msk "github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/remora-logs/remora/shared/output/internal/aws"
	"github.com/remora-logs/remora/shared/output/internal/line"
	"github.com/remora-logs/remora/shared/output/internal/secure"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/output/settings"
)

// Config holds the output's settings. The names are log-pilot's where it had them.
type Config struct {
	Brokers         []string        `env:"KAFKA_BROKERS" doc:"Initial brokers as host:port, separated by commas"`
	Version         string          `env:"KAFKA_VERSION" envDefault:"2.8.0" doc:"Highest protocol version to use. Older brokers, from 0.11 on, are spoken to in theirs"`
	Username        string          `env:"KAFKA_USERNAME" doc:"User for SASL; by default SASL is off"`
	Password        settings.Secret `env:"KAFKA_PASSWORD" secret:"true" doc:"Password for SASL"`
	Mechanism       string          `env:"KAFKA_SASL_MECHANISM" envDefault:"PLAIN" doc:"SASL mechanism: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER with a token of KAFKA_OAUTH2_TOKEN_URL, or AWS_MSK_IAM with KAFKA_AWS_REGION"`
	web.OAuth2      `envPrefix:"KAFKA_"`
	AWS             aws.Settings  `envPrefix:"KAFKA_"`
	TLS             bool          `env:"KAFKA_TLS" envDefault:"false" doc:"Use TLS"`
	CA              string        `env:"KAFKA_TLS_CA" doc:"File with the certificate authorities to trust, PEM; by default the system's"`
	Cert            string        `env:"KAFKA_TLS_CERT" doc:"File with the client certificate, PEM"`
	Key             string        `env:"KAFKA_TLS_KEY" doc:"File with the client certificate's key, PEM"`
	Verify          bool          `env:"KAFKA_TLS_VERIFY" envDefault:"true" doc:"Verify the brokers' certificates"`
	Acks            string        `env:"KAFKA_REQUIRE_ACKS" envDefault:"-1" doc:"When a record counts as delivered: -1 (or all) when all in-sync replicas have it; 1 when the leader has it; 0 when it is sent, which can lose records"`
	Idempotent      bool          `env:"KAFKA_IDEMPOTENT" envDefault:"true" doc:"Let brokers recognise resent records. Needs acks of -1, and on brokers before 2.8 the right IdempotentWrite"`
	ClientID        string        `env:"KAFKA_CLIENT_ID" envDefault:"remora" doc:"Client id, for the brokers' logs and quotas"`
	MaxMessageBytes int           `env:"KAFKA_MAX_MESSAGE_BYTES" envDefault:"1000000" doc:"Maximum size of a record batch, and so of a record, before compression. The broker's message.max.bytes is 1048588 by default"`
	PartitionKey    string        `env:"KAFKA_PARTITION_KEY" doc:"Tag or field whose value is the key and chooses the partition, or tags in a text, as Filebeat writes it: %{[k8s_pod_namespace]}-%{[k8s_pod]}; by default, and for records without it, the stream"`
	Format          line.Format   `env:"KAFKA_FORMAT" envDefault:"json" doc:"Format of values: json, or raw, which sends the line as the application wrote it and nothing else. A record without its line, which a format took apart, is JSON in any case"`
	Codec           string        `env:"KAFKA_COMPRESSION_CODEC" envDefault:"none" doc:"Compression: none, gzip, snappy, lz4 or zstd"`
	DefaultTopic    string        `env:"KAFKA_DEFAULT_TOPIC" envDefault:"docker" doc:"Topic of records without a target"`
	Timeout         time.Duration `env:"KAFKA_TIMEOUT" envDefault:"30s" doc:"Timeout of a request to a broker"`
}

// Check reports invalid values.
func (c *Config) Check() error {
	options, err := c.options()
	if err != nil {
		return err
	}
	if _, err := parseKey(c.PartitionKey); err != nil {
		return err
	}
	if err := c.Format.Check("KAFKA_FORMAT"); err != nil {
		return err
	}
	if err := kgo.ValidateOpts(options...); err != nil {
		return fmt.Errorf("settings of kafka: %w", err)
	}
	return nil
}

// acks maps the values of KAFKA_REQUIRE_ACKS to the protocol's numbers and the library's options.
var acks = map[string]struct {
	number int16
	option kgo.Acks
}{
	"-1": {-1, kgo.AllISRAcks()}, "all": {-1, kgo.AllISRAcks()}, "1": {1, kgo.LeaderAck()}, "0": {0, kgo.NoAck()},
}

// options translates c for the library. Of its producer only the acks are used, which say whether produce requests on a
// connection are answered.
func (c *Config) options() ([]kgo.Opt, error) {
	if len(c.Brokers) == 0 {
		return nil, fmt.Errorf("KAFKA_BROKERS is not set; the output kafka needs host:port of at least one broker")
	}
	for _, address := range c.Brokers {
		if host, port, ok := strings.Cut(address, ":"); !ok || host == "" || port == "" {
			return nil, fmt.Errorf("KAFKA_BROKERS: %q is not host:port", address)
		}
	}
	if _, known := codecs[c.Codec]; !known {
		return nil, fmt.Errorf("KAFKA_COMPRESSION_CODEC is %q; it must be none, gzip, snappy, lz4 or zstd", c.Codec)
	}
	required, known := acks[c.Acks]
	if !known {
		return nil, fmt.Errorf("KAFKA_REQUIRE_ACKS is %q; it must be -1, 0 or 1", c.Acks)
	}
	if c.MaxMessageBytes < 1024 || c.MaxMessageBytes > 64<<20 {
		return nil, fmt.Errorf("KAFKA_MAX_MESSAGE_BYTES is %d; it must be 1024 to %d", c.MaxMessageBytes, 64<<20)
	}
	if c.Timeout <= 0 {
		return nil, fmt.Errorf("KAFKA_TIMEOUT is %v; it must be more than nothing", c.Timeout)
	}
	atMost, err := c.versions()
	if err != nil {
		return nil, err
	}
	security, err := c.security()
	if err != nil {
		return nil, err
	}
	atLeast := new(kversion.Versions)
	atLeast.SetMaxKeyVersion(produceKey, 3) // the first with record batches
	if !c.TLS {
		security = append(security, kgo.DialTimeout(c.dialTimeout()))
	}
	return append([]kgo.Opt{
		kgo.SeedBrokers(c.Brokers...), kgo.ClientID(c.ClientID),
		kgo.MaxVersions(atMost), kgo.MinVersions(atLeast),
		kgo.RequiredAcks(required.option), kgo.DisableIdempotentWrite(), // of the library's own producer
		kgo.RequestTimeoutOverhead(min(max(c.Timeout, 100*time.Millisecond), 15*time.Minute)), // the library's bounds
		// A request that any broker answers (topics, producer ids) goes to the next one if one fails. The library never sends
		// a produce request again.
		kgo.RequestRetries(3), kgo.RetryTimeout(c.Timeout), kgo.RetryBackoffFn(func(int) time.Duration { return pause }),
		kgo.BrokerMaxReadBytes(maxAnswer), kgo.FetchMaxBytes(maxAnswer),
		// A little less than a broker's connections.max.idle.ms. With the library's 30 s a slow log would dial for each line.
		kgo.ConnIdleTimeout(9 * time.Minute),
		// The library's own metadata is not used; refresh it as rarely as the library allows.
		kgo.MetadataMaxAge(time.Hour), kgo.MetadataMinAge(time.Hour), kgo.DisableClientMetrics(),
	}, security...), nil
}

// maxAnswer bounds an answer. Each byte may claim to be an element of an array, for which the library reserves up to 96 bytes
// before it finds that there is none. A server that is not a broker must not cost more than 100 MiB.
const maxAnswer = 1 << 20

// pause is the delay before the library asks the next broker, and before we ask again for a topic that the broker creates on
// the first request, and that has no leader at once.
const pause = 100 * time.Millisecond

// produceKey is the key of produce requests (kafka.apache.org/protocol).
const produceKey = 0

// newest holds the highest versions of requests that are used, by key. Later versions have tags in their answers, and the
// library trusts their count: a few bytes from a server that is not a broker would keep it busy for minutes. Nothing from
// later versions is needed: 8 of produce brought errors of single records, and from 13 on topics are named by ids.
var newest = map[int16]int16{
	produceKey: 8,
	3:          8, // metadata
	18:         2, // versions
	22:         1, // producer ids
}

// versions returns the versions of all requests in the release that KAFKA_VERSION names, or the last one before it.
func (c *Config) versions() (*kversion.Versions, error) {
	wanted, ok := parseVersion(c.Version)
	if !ok {
		return nil, fmt.Errorf("KAFKA_VERSION is %q; it must be a version such as 2.8.0", c.Version)
	}
	if wanted.before(release{0, 11}) {
		return nil, fmt.Errorf("KAFKA_VERSION is %q; brokers before 0.11 take no headers and are not supported", c.Version)
	}
	if c.Codec == "zstd" && wanted.before(release{2, 1}) {
		return nil, fmt.Errorf("KAFKA_COMPRESSION_CODEC is zstd, which KAFKA_VERSION %s does not have; it came with 2.1", c.Version)
	}
	versions := kversion.Stable()
	for _, name := range kversion.VersionStrings() { // the newest comes first
		if known, ok := parseVersion(name); ok && !wanted.before(known) {
			versions = kversion.FromString(name)
			break
		}
	}
	for key, most := range newest {
		if v, _ := versions.LookupMaxKeyVersion(key); v > most {
			versions.SetMaxKeyVersion(key, most)
		}
	}
	return versions, nil
}

// release is a release of Kafka without its patch number.
type release struct{ major, minor int }

func (r release) before(other release) bool {
	return r.major < other.major || r.major == other.major && r.minor < other.minor
}

// parseVersion parses 2.8, 2.8.1, 0.11, 0.11.0.2 and the like, with or without a leading v.
func parseVersion(text string) (r release, ok bool) {
	parts := strings.Split(strings.TrimPrefix(text, "v"), ".")
	if len(parts) < 2 || len(parts) > 4 || len(parts) == 4 && parts[0] != "0" {
		return r, false
	}
	numbers := make([]int, len(parts))
	for i, part := range parts {
		if len(part) == 0 || len(part) > 4 {
			return r, false
		}
		for _, c := range []byte(part) {
			if c < '0' || c > '9' {
				return r, false
			}
			numbers[i] = 10*numbers[i] + int(c-'0')
		}
	}
	return release{numbers[0], numbers[1]}, true
}

func (c *Config) security() (options []kgo.Opt, err error) {
	var source *secure.Source
	if c.TLS {
		source, err = secure.Open(secure.File{Variable: "KAFKA_TLS_CA", Path: c.CA},
			secure.File{Variable: "KAFKA_TLS_CERT", Path: c.Cert}, secure.File{Variable: "KAFKA_TLS_KEY", Path: c.Key}, c.Verify)
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.Dialer(c.dialTLS(source)))
	} else if c.CA != "" || c.Cert != "" || c.Key != "" {
		return nil, fmt.Errorf("KAFKA_TLS_CA, KAFKA_TLS_CERT or KAFKA_TLS_KEY is set, but KAFKA_TLS is not true")
	}
	mechanism, err := c.mechanism(source)
	if err != nil || mechanism == nil {
		return options, err
	}
	return append(options, kgo.SASL(mechanism)), nil
}

// mechanism returns the SASL mechanism; nil if none is set. Passwords and tokens are read for each connection, because they
// may have changed.
func (c *Config) mechanism(source *secure.Source) (sasl.Mechanism, error) {
	tokens, err := c.OAuth2.Open("KAFKA_", source, c.Timeout)
	if err != nil {
		return nil, err
	}
	if err := c.AWS.Check("KAFKA_"); err != nil {
		return nil, err
	}
	password := func(context.Context) (scram.Auth, error) {
		return scram.Auth{User: c.Username, Pass: c.Password.Reveal()}, nil
	}
	var mechanism sasl.Mechanism
	switch strings.ToUpper(c.Mechanism) {
	case "PLAIN":
		mechanism = plain.Plain(func(context.Context) (plain.Auth, error) {
			return plain.Auth{User: c.Username, Pass: c.Password.Reveal()}, nil
		})
	case "SCRAM-SHA-256", "SCRAM-256":
		mechanism = scram.Sha256(password)
	case "SCRAM-SHA-512", "SCRAM-512":
		mechanism = scram.Sha512(password)
	case "OAUTHBEARER":
		if tokens == nil {
			return nil, fmt.Errorf("KAFKA_SASL_MECHANISM is OAUTHBEARER; KAFKA_OAUTH2_TOKEN_URL must be set")
		}
		return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := tokens.Token(ctx)
			return oauth.Auth{Token: token}, err
		}), nil
	case "AWS_MSK_IAM":
		if c.AWS.Region == "" {
			return nil, fmt.Errorf("KAFKA_SASL_MECHANISM is AWS_MSK_IAM; KAFKA_AWS_REGION must be set")
		}
		provider := aws.NewProvider(c.AWS)
		return msk.ManagedStreamingIAM(func(ctx context.Context) (msk.Auth, error) {
			k, err := provider.Get(ctx)
			return msk.Auth{AccessKey: k.ID, SecretKey: k.Secret, SessionToken: k.Token, UserAgent: "remora"}, err
		}), nil
	default:
		return nil, fmt.Errorf("KAFKA_SASL_MECHANISM is %q; it must be PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or AWS_MSK_IAM", c.Mechanism)
	}
	switch {
	case c.AWS.Region != "":
		return nil, fmt.Errorf("KAFKA_AWS_REGION is set, but KAFKA_SASL_MECHANISM is not AWS_MSK_IAM")
	case tokens != nil:
		return nil, fmt.Errorf("KAFKA_OAUTH2_TOKEN_URL is set, but KAFKA_SASL_MECHANISM is not OAUTHBEARER")
	case c.Username == "":
		return nil, nil
	case !c.Password.IsSet():
		return nil, fmt.Errorf("KAFKA_USERNAME is set, but KAFKA_PASSWORD is not")
	}
	return mechanism, nil
}

// dialTLS returns a dialer that uses source's current certificates.
func (c *Config) dialTLS(source *secure.Source) func(ctx context.Context, network, address string) (net.Conn, error) {
	timeout := c.dialTimeout()
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		d := &tls.Dialer{NetDialer: &net.Dialer{Timeout: timeout}, Config: source.Config()}
		return d.DialContext(ctx, network, address)
	}
}

func (c *Config) dialTimeout() time.Duration { return min(c.Timeout, 10*time.Second) }
