// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
)

var redis = protocol{
	name: "redis",
	not:  withoutHTTP,
	environ: func(address, ca, timeout string) map[string]string {
		host, port, _ := net.SplitHostPort(address)
		environ := map[string]string{
			"REDIS_HOST": host, "REDIS_PORT": port, "REDIS_USERNAME": "remora", "REDIS_PASSWORD": secret, "REDIS_TIMEOUT": timeout + "ms",
		}
		if ca != "" {
			environ["REDIS_TLS"], environ["REDIS_SSL_CA"] = "true", ca
		}
		return environ
	},
	start: (&exchange{
		hello: func(c net.Conn, in *bufio.Reader, allowed bool) bool {
			words, err := redisCommand(in)
			if err != nil {
				return false
			}
			if !allowed || !slices.Equal(words, []string{"AUTH", "remora", secret}) {
				_, _ = io.WriteString(c, "-WRONGPASS invalid username-password pair or user is disabled.\r\n")
				return false
			}
			_, err = io.WriteString(c, "+OK\r\n")
			return err == nil
		},
		read: func(in *bufio.Reader) (all []entry, state any, err error) {
			words, err := redisCommand(in)
			if err == nil && slices.Equal(words, []string{"PING"}) {
				return nil, nil, nil
			}
			if err != nil || len(words) < 3 || words[0] != "RPUSH" || words[1] != "web" && words[1] != "evil" {
				return nil, nil, fmt.Errorf("%w %.3q", err, words)
			}
			for _, w := range words[2:] {
				e, err := identified([]byte(w))
				if err != nil {
					return nil, nil, err
				}
				all = append(all, e)
			}
			return all, nil, nil
		},
		taken:  func(any) []byte { return []byte(":17\r\n") },
		failed: func(any) []byte { return []byte("-MISCONF Redis is configured to save RDB snapshots\r\n") },
		forbidden: func(any) []byte {
			return []byte("-NOPERM this user has no permissions to access one of the keys used as arguments\r\n")
		},
		overload: func(any) []byte { return []byte("-OOM command not allowed when used memory > 'maxmemory'.\r\n") },
	}).serve,
}

// identified reads a record with its identity.
func identified(text []byte) (entry, error) {
	var r struct{ Message, Remora string }
	err := json.Unmarshal(text, &r)
	return entry{id: r.Remora, line: r.Message}, err
}

func redisCommand(in *bufio.Reader) (words []string, err error) {
	var n int
	if _, err := fmt.Fscanf(in, "*%d\r\n", &n); err != nil {
		return nil, err
	}
	for range n {
		var size int
		if _, err := fmt.Fscanf(in, "$%d\r\n", &size); err != nil {
			return nil, err
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(in, word); err != nil {
			return nil, err
		}
		words = append(words, string(word[:size]))
	}
	return words, nil
}
