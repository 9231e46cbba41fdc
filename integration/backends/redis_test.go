// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

const redisPassword = "correct-horse"

// redisServer starts Redis on address, and waits until it answers.
func redisServer(t *testing.T, address string, args ...string) {
	t.Helper()
	_, port, _ := net.SplitHostPort(address)
	args = append([]string{"--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir(), "--save", "", "--appendonly", "no"}, args...)
	ready := func() bool {
		c, err := net.Dial("tcp", address)
		return err == nil && c.Close() == nil
	}
	run(t, ready, "redis-server", args...)
}

// redisDo says a command, after AUTH, and returns the answer's strings.
func redisDo(t *testing.T, address string, config *tls.Config, words ...string) []string {
	t.Helper()
	var c net.Conn
	var err error
	if config != nil {
		c, err = tls.Dial("tcp", address, config)
	} else {
		c, err = net.Dial("tcp", address)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for _, command := range [][]string{{"AUTH", redisPassword}, words} {
		fmt.Fprintf(c, "*%d\r\n", len(command))
		for _, w := range command {
			fmt.Fprintf(c, "$%d\r\n%s\r\n", len(w), w)
		}
		all := redisReply(t, in)
		if command[0] != "AUTH" {
			return all
		}
	}
	return nil
}

func redisReply(t *testing.T, in *bufio.Reader) (all []string) {
	line, err := in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	rest := strings.TrimSpace(line[1:])
	n, _ := strconv.Atoi(rest)
	switch line[0] {
	case '*':
		for range n {
			all = append(all, redisReply(t, in)...)
		}
		return all
	case '$':
		text := make([]byte, n+2)
		if _, err := io.ReadFull(in, text); err != nil {
			t.Fatal(err)
		}
		return []string{string(text[:n])}
	}
	return []string{rest}
}

// redisRecords looks for what was pushed to the two keys, and compares it.
func redisRecords(t *testing.T, f files, read func(key string) []string) {
	t.Helper()
	for key, number := range map[string]func(document) int{"raw": rawNumber("message"), "parsed": jsonNumber} {
		var all []string
		engine.Eventually(t, time.Minute, func() (bool, string) {
			all = read(key)
			return len(all) >= lines, fmt.Sprintf("%d of %d records", len(all), lines)
		})
		compare(t, documents(t, []byte(strings.Join(all, "\n")+"\n")), number, func(n int) document {
			if key == "raw" {
				return document{"message": rawLine(n), "team": "blue", "source": f.raw()}
			}
			return document{"status": strconv.Itoa(200 + n%300), "text": `a "b" ü`, "team": "red", "source": f.json()}
		})
	}
}

// Redis itself, with a user who may do nothing but push.
func TestRedis(t *testing.T) {
	for _, datatype := range []string{"list", "stream"} {
		t.Run(datatype, func(t *testing.T) {
			address := engine.FreePort(t)
			redisServer(t, address, "--requirepass", redisPassword, "--user", "remora", "on", ">"+redisPassword, "~raw", "~parsed", "-@all", "+rpush", "+xadd")
			f := write(t)
			sidecar(t, f, "LOGGING_OUTPUT=redis", "REDIS_HOSTS="+address, "REDIS_USERNAME=remora", "REDIS_PASSWORD="+redisPassword,
				"REDIS_DATATYPE="+datatype, "REDIS_KEY={target}")
			redisRecords(t, f, func(key string) (all []string) {
				if datatype == "list" {
					return redisDo(t, address, nil, "LRANGE", key, "0", "-1")
				}
				for _, text := range redisDo(t, address, nil, "XRANGE", key, "-", "+") {
					if strings.HasPrefix(text, "{") {
						all = append(all, text)
					}
				}
				return all
			})
		})
	}
}

func TestRedisOverTLS(t *testing.T) {
	address, dir := engine.FreePort(t), t.TempDir()
	ca := certificate(t, dir)
	_, port, _ := net.SplitHostPort(address)
	redisServer(t, address, "--port", "0", "--tls-port", port, "--tls-cert-file", filepath.Join(dir, "cert.pem"),
		"--tls-key-file", filepath.Join(dir, "key.pem"), "--tls-ca-cert-file", ca, "--requirepass", redisPassword)
	f := write(t)
	sidecar(t, f, "LOGGING_OUTPUT=redis", "REDIS_HOSTS="+address, "REDIS_PASSWORD="+redisPassword, "REDIS_TLS=true", "REDIS_SSL_CA="+ca,
		"REDIS_SSL_CERT="+filepath.Join(dir, "cert.pem"), "REDIS_SSL_KEY="+filepath.Join(dir, "key.pem"))
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool}
	redisRecords(t, f, func(key string) []string { return redisDo(t, address, config, "LRANGE", key, "0", "-1") })
}

// A Redis without room refuses; what it had no room for comes when it has.
func TestRedisWithoutMemory(t *testing.T) {
	address := engine.FreePort(t)
	redisServer(t, address, "--requirepass", redisPassword, "--maxmemory", "2mb")
	f := write(t)
	sidecar(t, f, "LOGGING_OUTPUT=redis", "REDIS_HOSTS="+address, "REDIS_PASSWORD="+redisPassword, "REMORA_BATCH_RECORDS=200", "REMORA_RETRY_MAX=1s")
	engine.Eventually(t, 30*time.Second, func() (bool, string) {
		return strings.Contains(redisDo(t, address, nil, "INFO", "errorstats")[0], "errorstat_OOM"), "there is room"
	})
	redisDo(t, address, nil, "CONFIG", "SET", "maxmemory", "200mb")
	redisRecords(t, f, func(key string) []string { return redisDo(t, address, nil, "LRANGE", key, "0", "-1") })
}

// Three nodes: each key is where its slot is, whichever node is asked first.
func TestRedisCluster(t *testing.T) {
	var addresses []string
	for range 3 {
		address := engine.FreePort(t)
		redisServer(t, address, "--cluster-enabled", "yes", "--requirepass", redisPassword, "--masterauth", redisPassword)
		addresses = append(addresses, address)
	}
	create := append([]string{"-a", redisPassword, "--cluster", "create"}, addresses...)
	if out, err := exec.Command("redis-cli", append(create, "--cluster-yes")...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f := write(t)
	sidecar(t, f, "LOGGING_OUTPUT=redis", "REDIS_HOSTS="+strings.Join(addresses, ","), "REDIS_PASSWORD="+redisPassword)
	redisRecords(t, f, func(key string) []string {
		for _, a := range addresses {
			if all := redisDo(t, a, nil, "LRANGE", key, "0", "-1"); len(all) != 1 || !strings.HasPrefix(all[0], "MOVED") {
				return all
			}
		}
		return nil
	})
}

// The Sentinel is asked where the master is.
func TestRedisSentinel(t *testing.T) {
	master, sentinel, dir := engine.FreePort(t), engine.FreePort(t), t.TempDir()
	redisServer(t, master, "--requirepass", redisPassword)
	host, port, _ := net.SplitHostPort(master)
	_, sentinelPort, _ := net.SplitHostPort(sentinel)
	conf := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("bind 127.0.0.1\nport %s\nsentinel monitor mymaster %s %s 1\nsentinel auth-pass mymaster %s\n", sentinelPort, host, port, redisPassword)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, func() bool {
		c, err := net.Dial("tcp", sentinel)
		return err == nil && c.Close() == nil
	}, "redis-server", conf, "--sentinel")
	f := write(t)
	sidecar(t, f, "LOGGING_OUTPUT=redis", "REDIS_HOSTS="+sentinel, "REDIS_SENTINEL_MASTER=mymaster", "REDIS_PASSWORD="+redisPassword)
	redisRecords(t, f, func(key string) []string { return redisDo(t, master, nil, "LRANGE", key, "0", "-1") })
}
