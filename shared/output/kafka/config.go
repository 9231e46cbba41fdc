// Package kafka is the output that produces records to Kafka topics.
//
// Batches exist already when they come here, so record batches are built straight from them and sent with sarama's
// broker client; its producers, which collect messages one by one, would do the work a second time. What they do beside
// that is done here: sequence numbers, so that a batch whose answer was lost is stored once (sequence.go), and routing
// to leaders (send.go).
package kafka

import (
	"fmt"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/xdg-go/scram"

	"github.com/remora-logs/remora/shared/output/internal/secure"
)

// Config is what can be set. The names are log-pilot's where it had them.
type Config struct {
	Brokers         []string      `env:"KAFKA_BROKERS" doc:"brokers to begin with, as host:port, separated by commas"`
	Version         string        `env:"KAFKA_VERSION" envDefault:"2.8.0" doc:"version of the protocol that is spoken at most; an older broker is spoken to in its own, 0.11 and later"`
	Username        string        `env:"KAFKA_USERNAME" doc:"user for SASL; none where not set"`
	Password        string        `env:"KAFKA_PASSWORD" secret:"true" doc:"password for SASL"`
	Mechanism       string        `env:"KAFKA_SASL_MECHANISM" envDefault:"PLAIN" doc:"PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"`
	TLS             bool          `env:"KAFKA_TLS" envDefault:"false" doc:"whether to speak TLS"`
	CA              string        `env:"KAFKA_TLS_CA" doc:"file with the authorities to trust, PEM; the system's where not set"`
	Cert            string        `env:"KAFKA_TLS_CERT" doc:"file with the client's certificate, PEM"`
	Key             string        `env:"KAFKA_TLS_KEY" doc:"file with the key to it, PEM"`
	Verify          bool          `env:"KAFKA_TLS_VERIFY" envDefault:"true" doc:"whether the brokers' certificates are checked"`
	Acks            string        `env:"KAFKA_REQUIRE_ACKS" envDefault:"-1" doc:"-1 (or all): taken when all in-sync replicas have it; 1: when the leader has it; 0: when it is sent, which loses records"`
	Idempotent      bool          `env:"KAFKA_IDEMPOTENT" envDefault:"true" doc:"whether the broker is to recognise what is sent again; needs acks of -1, and on brokers before 2.8 the right IdempotentWrite"`
	ClientID        string        `env:"KAFKA_CLIENT_ID" envDefault:"remora" doc:"client id, for the brokers' logs and quotas"`
	MaxMessageBytes int           `env:"KAFKA_MAX_MESSAGE_BYTES" envDefault:"1000000" doc:"largest record batch, and so largest record, before compression; the broker's message.max.bytes is 1048588 by default"`
	PartitionKey    string        `env:"KAFKA_PARTITION_KEY" doc:"tag or field whose value chooses the partition and becomes the key; the stream where not set, or where a record lacks it"`
	Codec           string        `env:"KAFKA_COMPRESSION_CODEC" envDefault:"none" doc:"none, gzip, snappy, lz4 or zstd"`
	DefaultTopic    string        `env:"KAFKA_DEFAULT_TOPIC" envDefault:"docker" doc:"topic of records without a target"`
	Timeout         time.Duration `env:"KAFKA_TIMEOUT" envDefault:"30s" doc:"how long a broker may take to answer"`
}

// Check reports values that can't be worked with.
func (c *Config) Check() error {
	_, err := c.sarama()
	return err
}

var codecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
	"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

var acks = map[string]sarama.RequiredAcks{
	"-1": sarama.WaitForAll, "all": sarama.WaitForAll, "1": sarama.WaitForLocal, "0": sarama.NoResponse,
}

// sarama translates c.
func (c *Config) sarama() (*sarama.Config, error) {
	s := sarama.NewConfig()
	for _, address := range c.Brokers {
		if host, port, ok := strings.Cut(address, ":"); !ok || host == "" || port == "" {
			return nil, fmt.Errorf("KAFKA_BROKERS: %q is not host:port", address)
		}
	}
	if len(c.Brokers) == 0 {
		return nil, fmt.Errorf("KAFKA_BROKERS is not set; the output kafka needs host:port of at least one broker")
	}
	var known bool
	if s.Producer.Compression, known = codecs[c.Codec]; !known {
		return nil, fmt.Errorf("KAFKA_COMPRESSION_CODEC is %q; it must be none, gzip, snappy, lz4 or zstd", c.Codec)
	}
	if s.Producer.RequiredAcks, known = acks[c.Acks]; !known {
		return nil, fmt.Errorf("KAFKA_REQUIRE_ACKS is %q; it must be -1, 0 or 1", c.Acks)
	}
	if c.MaxMessageBytes < 1024 || c.MaxMessageBytes > 64<<20 {
		return nil, fmt.Errorf("KAFKA_MAX_MESSAGE_BYTES is %d; it must be 1024 to %d", c.MaxMessageBytes, 64<<20)
	}
	if c.Timeout <= 0 {
		return nil, fmt.Errorf("KAFKA_TIMEOUT is %v; it must be more than nothing", c.Timeout)
	}
	if err := c.version(s); err != nil {
		return nil, err
	}
	if err := c.security(s); err != nil {
		return nil, err
	}
	s.ClientID = c.ClientID
	// Broker.AsyncProduce may have several batches on their way; of one partition there is never more than one.
	s.Net.MaxOpenRequests = 5
	s.Net.DialTimeout, s.Net.ReadTimeout, s.Net.WriteTimeout = min(c.Timeout, 10*time.Second), c.Timeout, c.Timeout
	// A topic that the broker makes when it is first asked for has no leader at once.
	s.Metadata.Retry.Max, s.Metadata.Retry.Backoff = 3, 100*time.Millisecond
	s.Metadata.Timeout = c.Timeout
	s.Metadata.Full = false // so that nothing is asked of the brokers before there is a record for them
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("settings of kafka: %w", err)
	}
	return s, nil
}

func (c *Config) version(s *sarama.Config) error {
	// sarama wants 2.8.0, and of the old ones 0.11.0.2; people write 2.8 and 0.11.
	v, parts := c.Version, 3
	if strings.HasPrefix(v, "0.") {
		parts = 4
	}
	if missing := parts - 1 - strings.Count(v, "."); missing > 0 {
		v += strings.Repeat(".0", missing)
	}
	parsed, err := sarama.ParseKafkaVersion(v)
	if err != nil {
		return fmt.Errorf("KAFKA_VERSION is %q; it must be a version such as 2.8.0", c.Version)
	}
	if !parsed.IsAtLeast(sarama.V0_11_0_0) {
		return fmt.Errorf("KAFKA_VERSION is %q; brokers before 0.11 take no headers and are not supported", c.Version)
	}
	if c.Codec == "zstd" && !parsed.IsAtLeast(sarama.V2_1_0_0) {
		return fmt.Errorf("KAFKA_COMPRESSION_CODEC is zstd, which KAFKA_VERSION %s does not have; it came with 2.1", c.Version)
	}
	s.Version = parsed
	return nil
}

func (c *Config) security(s *sarama.Config) error {
	if c.TLS {
		conf, err := secure.Config(secure.File{Variable: "KAFKA_TLS_CA", Path: c.CA},
			secure.File{Variable: "KAFKA_TLS_CERT", Path: c.Cert}, secure.File{Variable: "KAFKA_TLS_KEY", Path: c.Key}, c.Verify)
		if err != nil {
			return err
		}
		s.Net.TLS.Enable, s.Net.TLS.Config = true, conf
	} else if c.CA != "" || c.Cert != "" || c.Key != "" {
		return fmt.Errorf("KAFKA_TLS_CA, KAFKA_TLS_CERT or KAFKA_TLS_KEY is set, but KAFKA_TLS is not true")
	}
	var hash scram.HashGeneratorFcn
	switch strings.ToUpper(c.Mechanism) {
	case "PLAIN":
	case "SCRAM-SHA-256", "SCRAM-256":
		hash = scram.SHA256
		s.Net.SASL.Mechanism = sarama.SASLTypeSCRAMSHA256
	case "SCRAM-SHA-512", "SCRAM-512":
		hash = scram.SHA512
		s.Net.SASL.Mechanism = sarama.SASLTypeSCRAMSHA512
	default:
		return fmt.Errorf("KAFKA_SASL_MECHANISM is %q; it must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", c.Mechanism)
	}
	if c.Username == "" {
		return nil
	}
	if c.Password == "" {
		return fmt.Errorf("KAFKA_USERNAME is set, but KAFKA_PASSWORD is not")
	}
	s.Net.SASL.Enable, s.Net.SASL.User, s.Net.SASL.Password = true, c.Username, c.Password
	if hash != nil {
		s.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: hash} }
	}
	return nil
}

// scramClient is sarama's idea of a SCRAM client, done by xdg-go/scram.
type scramClient struct {
	hash scram.HashGeneratorFcn
	*scram.ClientConversation
}

func (s *scramClient) Begin(user, password, authzID string) error {
	client, err := s.hash.NewClient(user, password, authzID)
	if err != nil {
		return err
	}
	s.ClientConversation = client.NewConversation()
	return nil
}
