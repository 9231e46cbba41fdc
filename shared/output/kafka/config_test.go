// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output/settings"
)

func TestWrongSettingsNameTheVariable(t *testing.T) {
	for _, test := range []struct{ name, value, want string }{
		{"KAFKA_BROKERS", "", "KAFKA_BROKERS is not set"},
		{"KAFKA_BROKERS", "kafka", `"kafka" is not host:port`},
		{"KAFKA_BROKERS", "kafka:http", "settings of kafka"},
		{"KAFKA_VERSION", "2", "KAFKA_VERSION"},
		{"KAFKA_VERSION", "2.8.0.1", "KAFKA_VERSION"},
		{"KAFKA_VERSION", "2.x", "KAFKA_VERSION"},
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
	const metadata = 3
	for text, want := range map[string][2]int16{ // of produce and metadata requests (kafka.apache.org/protocol)
		"0.11": {3, 4}, "0.11.0": {3, 4}, "0.11.0.2": {3, 4}, "1.0": {5, 5}, "2.1": {7, 7}, "2.2": {7, 7}, "v2.4.1": {8, 8},
		"2.8": {8, 8}, "3.9.0": {8, 8}, "4.4": {8, 8},
		"1.9":  {5, 5}, // taken for the last release before it
		"99.0": {8, 8},
		"2.10": {8, 8}, // numbers, not text
	} {
		var c Config
		require.NoError(t, settings.Load(map[string]string{"KAFKA_BROKERS": "b:1", "KAFKA_VERSION": text}, &c), text)
		versions, err := c.versions()
		require.NoError(t, err)
		for i, key := range []int16{produceKey, metadata} {
			got, _ := versions.LookupMaxKeyVersion(key)
			require.Equal(t, want[i], got, "%s, request %d", text, key)
		}
	}
}

func TestTokenOfOAuth2(t *testing.T) {
	given := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given++
		_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":3600}`, given)
	}))
	defer server.Close()
	environ := map[string]string{
		"KAFKA_BROKERS": "b:1", "KAFKA_SASL_MECHANISM": "OAUTHBEARER", "KAFKA_OAUTH2_TOKEN_URL": server.URL,
		"KAFKA_OAUTH2_CLIENT_ID": "id", "KAFKA_OAUTH2_CLIENT_SECRET": "hunter2",
	}
	var c Config
	require.NoError(t, settings.Load(environ, &c))
	mechanism, err := c.mechanism(nil)
	require.NoError(t, err)
	require.Equal(t, "OAUTHBEARER", mechanism.Name())
	for range 2 {
		_, first, err := mechanism.Authenticate(t.Context(), "b:1")
		require.NoError(t, err)
		require.Equal(t, "n,,\x01auth=Bearer token-1\x01\x01", string(first))
	}
	delete(environ, "KAFKA_OAUTH2_TOKEN_URL")
	require.ErrorContains(t, settings.Load(environ, new(Config)), "KAFKA_OAUTH2_TOKEN_URL")
	environ = map[string]string{
		"KAFKA_BROKERS": "b:1", "KAFKA_OAUTH2_TOKEN_URL": server.URL, "KAFKA_OAUTH2_CLIENT_ID": "id", "KAFKA_OAUTH2_CLIENT_SECRET": "s",
	}
	require.ErrorContains(t, settings.Load(environ, new(Config)), "KAFKA_SASL_MECHANISM is not OAUTHBEARER")
}

func TestCredentialsOfAWS(t *testing.T) {
	environ := map[string]string{
		"KAFKA_BROKERS": "b:1", "KAFKA_SASL_MECHANISM": "AWS_MSK_IAM", "KAFKA_AWS_REGION": "eu-west-1",
		"KAFKA_AWS_ACCESS_KEY_ID": "AKID", "KAFKA_AWS_SECRET_ACCESS_KEY": "hunter2",
	}
	var c Config
	require.NoError(t, settings.Load(environ, &c))
	mechanism, err := c.mechanism(nil)
	require.NoError(t, err)
	require.Equal(t, "AWS_MSK_IAM", mechanism.Name())
	_, first, err := mechanism.Authenticate(t.Context(), "b-1.x.kafka.eu-west-1.amazonaws.com:9198")
	require.NoError(t, err)
	require.Contains(t, string(first), `AKID/`)
	require.Contains(t, string(first), `/eu-west-1/kafka-cluster/aws4_request`)
	require.NotContains(t, string(first), "hunter2")
	delete(environ, "KAFKA_AWS_REGION")
	require.ErrorContains(t, settings.Load(environ, new(Config)), "KAFKA_AWS_REGION")
	require.ErrorContains(t, settings.Load(map[string]string{"KAFKA_BROKERS": "b:1", "KAFKA_AWS_REGION": "r"}, new(Config)), "AWS_MSK_IAM")
}

func TestTopicNames(t *testing.T) {
	require.True(t, validTopic("web-1_x.Y"))
	for _, bad := range []string{"", ".", "..", "a/b", "a b", "ü"} {
		require.False(t, validTopic(bad))
	}
}

func TestPartitionOfAKeyIsThatOfTheJavaClient(t *testing.T) {
	for key, want := range map[string]int32{ // Kafka's UtilsTest.testMurmur2
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		require.Equal(t, want, int32(murmur2([]byte(key))), key)
		require.Equal(t, want&0x7fffffff%10, partitionOf([]byte(key), 10))
	}
}
