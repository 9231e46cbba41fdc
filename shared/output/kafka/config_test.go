package kafka

import (
	"testing"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output/settings"
)

func TestWrongSettingsNameTheVariable(t *testing.T) {
	for _, test := range []struct{ name, value, want string }{
		{"KAFKA_BROKERS", "", "KAFKA_BROKERS is not set"},
		{"KAFKA_BROKERS", "kafka", `"kafka" is not host:port`},
		{"KAFKA_VERSION", "new", "KAFKA_VERSION"},
		{"KAFKA_VERSION", "0.10.2", "before 0.11"},
		{"KAFKA_REQUIRE_ACKS", "2", "KAFKA_REQUIRE_ACKS"},
		{"KAFKA_COMPRESSION_CODEC", "rar", "KAFKA_COMPRESSION_CODEC"},
		{"KAFKA_SASL_MECHANISM", "GSSAPI", "KAFKA_SASL_MECHANISM"},
		{"KAFKA_USERNAME", "me", "KAFKA_PASSWORD is not"},
		{"KAFKA_MAX_MESSAGE_BYTES", "1", "KAFKA_MAX_MESSAGE_BYTES"},
		{"KAFKA_MAX_MESSAGE_BYTES", "1M", "KAFKA_MAX_MESSAGE_BYTES must be a whole number"},
		{"KAFKA_TLS_CA", "/ca.pem", "KAFKA_TLS is not true"},
		{"KAFKA_TIMEOUT", "0s", "KAFKA_TIMEOUT"},
	} {
		environ := map[string]string{"KAFKA_BROKERS": "127.0.0.1:9092"}
		environ[test.name] = test.value
		require.ErrorContains(t, settings.Load(environ, new(Config)), test.want)
	}
}

func TestVersions(t *testing.T) {
	for text, want := range map[string]sarama.KafkaVersion{
		"2.8": sarama.V2_8_0_0, "1.0": sarama.V1_0_0_0, "0.11.0": sarama.V0_11_0_0, "3.9.0": sarama.V3_9_0_0,
		"0.11.0.2": sarama.V0_11_0_2,
	} {
		var c Config
		require.NoError(t, settings.Load(map[string]string{"KAFKA_BROKERS": "b:1", "KAFKA_VERSION": text}, &c))
		s, err := c.sarama()
		require.NoError(t, err)
		require.Equal(t, want, s.Version)
	}
}

func TestTopicNames(t *testing.T) {
	require.True(t, validTopic("web-1_x.Y"))
	for _, bad := range []string{"", ".", "..", "a/b", "a b", "ü"} {
		require.False(t, validTopic(bad))
	}
}

func TestPartitionOfAKeyIsThatOfTheJavaClient(t *testing.T) {
	// From Kafka's UtilsTest.testMurmur2: murmur2("21") = -973932308, murmur2("foobar") = -790332482.
	var h hasher
	require.Equal(t, int32((-973932308&0x7fffffff)%10), h.partition([]byte("21"), 10))
	require.Equal(t, int32((-790332482&0x7fffffff)%10), h.partition([]byte("foobar"), 10))
}
