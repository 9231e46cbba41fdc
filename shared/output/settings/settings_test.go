// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type config struct {
	Hosts    []string      `env:"T_HOSTS" doc:"hosts"`
	Size     int           `env:"T_SIZE" envDefault:"7" doc:"size"`
	Linger   time.Duration `env:"T_LINGER" envDefault:"1s" doc:"linger"`
	Password string        `env:"T_PASSWORD" secret:"true" doc:"password"`
	Pin      int           `env:"T_PIN" secret:"true" doc:"a secret with a form"`
}

func (c *config) Check() error {
	if c.Size < 0 {
		return errors.New("T_SIZE is negative")
	}
	return nil
}

func TestLoad(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("s3cret\n"), 0o600))
	var c config
	require.NoError(t, Load(map[string]string{"T_HOSTS": "a,b", "T_SIZE": "", "T_PASSWORD_FILE": secret}, &c))
	require.Equal(t, config{Hosts: []string{"a", "b"}, Size: 7, Linger: time.Second, Password: "s3cret"}, c)
}

func TestErrorsNameVariableAndReason(t *testing.T) {
	for _, test := range []struct {
		environ map[string]string
		want    []string
	}{
		{map[string]string{"T_SIZE": "many", "T_LINGER": "soon"}, []string{"T_SIZE", `"many"`, "T_LINGER", `"soon"`}},
		{map[string]string{"T_SIZE": "-1"}, []string{"T_SIZE is negative"}},
		{map[string]string{"T_PASSWORD_FILE": "/does/not/exist"}, []string{"T_PASSWORD_FILE", "/does/not/exist"}},
		{map[string]string{"T_PASSWORD_FILE": "/dev/null", "T_PASSWORD": "x"}, []string{"T_PASSWORD", "both set"}},
		{map[string]string{"T_PIN": "hunter2"}, []string{"T_PIN must be a whole number"}},
	} {
		err := Load(test.environ, new(config))
		for _, want := range test.want {
			require.ErrorContains(t, err, want)
		}
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestList(t *testing.T) {
	all := List(new(config))
	require.Len(t, all, 5)
	require.Equal(t, Setting{Name: "T_SIZE", Default: "7", Doc: "size", Type: "integer"}, all[1])
	require.True(t, all[3].Secret)
}

// A Service called "elasticsearch" must not be taken for settings of the output.
func TestWhatKubernetesDerivesOfServicesIsNotSet(t *testing.T) {
	var c struct {
		Port int    `env:"ELASTICSEARCH_PORT" envDefault:"9200"`
		Host string `env:"ELASTICSEARCH_SERVICE_HOST"`
	}
	require.NoError(t, Load(map[string]string{
		"ELASTICSEARCH_PORT": "tcp://10.0.0.1:9200", "ELASTICSEARCH_SERVICE_HOST": "10.0.0.1",
	}, &c))
	require.Equal(t, 9200, c.Port)
	require.Empty(t, c.Host)
	require.NoError(t, Load(map[string]string{"ELASTICSEARCH_PORT": "9201"}, &c))
	require.Equal(t, 9201, c.Port)

	for name, value := range map[string]string{
		"KAFKA_SERVICE_HOST": "10.0.0.1", "KAFKA_SERVICE_PORT": "9092", "KAFKA_SERVICE_PORT_BROKER": "9092", "KAFKA_PORT": "udp://10.0.0.1:1",
		"KAFKA_PORT_9092_TCP": "tcp://10.0.0.1:9092", "KAFKA_PORT_9092_TCP_PROTO": "tcp", "KAFKA_PORT_9092_TCP_PORT": "9092",
		"KAFKA_PORT_9092_SCTP_ADDR": "10.0.0.1",
	} {
		require.True(t, IsServiceLink(name, value), name)
	}
	for name, value := range map[string]string{"KAFKA_BROKERS": "tcp://a", "KAFKA_PORT": "9092", "KAFKA_EXPORT": "x", "KAFKA_PORT_X": "1"} {
		require.False(t, IsServiceLink(name, value), name)
	}
}
