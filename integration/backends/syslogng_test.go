// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

// syslog-ng takes octet counting in its source syslog() and LF framing in network(), plain and over TLS, and reads structured
// data as we mean it.
func TestSyslogNG(t *testing.T) {
	binary, modules, libraries := unpackedSyslogNG(t)
	for _, test := range []struct{ name, protocol, framing, source string }{
		{"octets", "tcp", "octets", `syslog(ip("%s") port(%s) transport("tcp") log-msg-size(65536))`},
		{"lf", "tcp", "lf", `network(ip("%s") port(%s) transport("tcp") flags(syslog-protocol) log-msg-size(65536))`},
		{"tls", "tls", "octets", `syslog(ip("%s") port(%s) transport("tls") log-msg-size(65536) tls(key-file("DIR/key.pem") cert-file("DIR/cert.pem") ca-file("DIR/ca.pem") peer-verify(required-trusted)))`},
	} {
		t.Run(test.name, func(t *testing.T) {
			address, dir := engine.FreePort(t), t.TempDir()
			host, port, _ := net.SplitHostPort(address)
			ca := certificate(t, dir)
			stored := filepath.Join(dir, "stored")
			source := strings.ReplaceAll(fmt.Sprintf(test.source, host, port), "DIR", dir)
			conf := filepath.Join(dir, "syslog-ng.conf")
			if err := os.WriteFile(conf, []byte(syslogNGConfig(source, stored)), 0o600); err != nil {
				t.Fatal(err)
			}
			ready := func() bool {
				c, err := net.Dial("tcp", address)
				return err == nil && c.Close() == nil
			}
			t.Setenv("LD_LIBRARY_PATH", libraries)
			run(t, ready, binary, "-F", "--module-path", modules, "--no-caps", "-f", conf, "-R", filepath.Join(dir, "persist"),
				"-p", filepath.Join(dir, "pid"), "-c", filepath.Join(dir, "control"))
			f := write(t)
			settings := []string{"LOGGING_OUTPUT=syslog", "SYSLOG_HOST=" + host, "SYSLOG_PORT=" + port,
				"SYSLOG_PROTOCOL=" + test.protocol, "SYSLOG_FRAMING=" + test.framing}
			if test.protocol == "tls" {
				settings = append(settings, "SYSLOG_CA="+ca, "SYSLOG_CERT="+filepath.Join(dir, "cert.pem"), "SYSLOG_KEY="+filepath.Join(dir, "key.pem"))
			}
			sidecar(t, f, settings...)
			var all []document
			engine.Eventually(t, time.Minute, func() (bool, string) {
				all = readSyslogNG(t, stored)
				return len(all) >= 2*lines, fmt.Sprintf("%d of %d messages", len(all), 2*lines)
			})
			var raw, parsed []document
			for _, d := range all {
				if d["tag"] == "raw" {
					raw = append(raw, d)
				} else {
					parsed = append(parsed, d)
				}
			}
			compare(t, raw, rawNumber("msg"), func(n int) document {
				return document{"msg": rawLine(n), "team": "blue", "source": f.raw(), "tag": "raw"}
			})
			compare(t, parsed, func(d document) int {
				var n int
				if _, err := fmt.Sscanf(d["msg"], `{"n":%d,`, &n); err != nil {
					return -1
				}
				return n
			}, func(n int) document {
				return document{"msg": jsonLine(n), "team": "red", "source": f.json()}
			})
		})
	}
}

// unpackedSyslogNG is where hack/unpack has put the program, its modules, and the libraries that are not installed.
func unpackedSyslogNG(t *testing.T) (binary, modules, libraries string) {
	t.Helper()
	root := filepath.Join(engine.Root(t), "bin", "syslog-ng")
	find := func(pattern string) []string {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	socket := find("usr/lib/syslog-ng/*/libafsocket.so")
	if len(socket) != 1 {
		t.Fatalf("%s holds no syslog-ng: make integration unpacks it", root)
	}
	all := append(find("usr/lib/syslog-ng"), append(find("usr/lib/*-linux-gnu"), find("lib/*-linux-gnu")...)...)
	return filepath.Join(root, "usr/sbin/syslog-ng"), filepath.Dir(socket[0]), strings.Join(all, ":")
}

// syslogNGConfig stores the fields of a message between characters that no test line has.
func syslogNGConfig(source, stored string) string {
	return fmt.Sprintf(`@version: 3.38
options { stats-freq(0); keep-hostname(yes); };
source s { %s; };
destination d { file("%s" template("${PROGRAM}|${.SDATA.remora@32473.team}|${.SDATA.remora@32473.source}|${MSG}\n")); };
log { source(s); destination(d); };
`, source, stored)
}

func readSyslogNG(t *testing.T, path string) (all []document) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(content)) {
		line, whole := strings.CutSuffix(line, "\n")
		if !whole {
			break
		}
		parts := strings.SplitN(line, "|", 4)
		if len(parts) != 4 {
			t.Fatalf("stored: %.500s", line)
		}
		all = append(all, document{"tag": parts[0], "team": parts[1], "source": parts[2], "msg": parts[3]})
	}
	return all
}
