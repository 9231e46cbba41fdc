// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/remora-logs/remora/integration/engine"
)

// rsyslog takes all that the output syslog speaks.
func TestRsyslog(t *testing.T) {
	for _, protocol := range []string{"udp", "tcp", "tls", "relp", "relp+tls"} {
		t.Run(protocol, func(t *testing.T) {
			address, dir := engine.FreePort(t), t.TempDir()
			host, port, _ := net.SplitHostPort(address)
			ca := certificate(t, dir)
			stored := filepath.Join(dir, "stored")
			conf := filepath.Join(dir, "rsyslog.conf")
			if err := os.WriteFile(conf, []byte(rsyslogConfig(protocol, dir, host, port, stored)), 0o600); err != nil {
				t.Fatal(err)
			}
			ready := func() bool {
				if protocol == "udp" {
					_, err := os.Stat(filepath.Join(dir, "pid"))
					return err == nil
				}
				c, err := net.Dial("tcp", address)
				return err == nil && c.Close() == nil
			}
			run(t, ready, "rsyslogd", "-n", "-f", conf, "-i", filepath.Join(dir, "pid"))
			f := write(t)
			settings := []string{
				"LOGGING_OUTPUT=syslog", "SYSLOG_HOST=" + host, "SYSLOG_PORT=" + port, "SYSLOG_PROTOCOL=" + protocol,
			}
			if strings.HasSuffix(protocol, "tls") {
				settings = append(settings, "SYSLOG_CA="+ca, "SYSLOG_CERT="+filepath.Join(dir, "cert.pem"), "SYSLOG_KEY="+filepath.Join(dir, "key.pem"))
			}
			sidecar(t, f, settings...)
			var all []document
			if protocol == "udp" { // what comes faster than it is read is lost; what arrives has to be right
				engine.Eventually(t, time.Minute, func() (bool, string) {
					all = readRsyslog(t, stored)
					return len(all) > 100, fmt.Sprintf("%d messages", len(all))
				})
				for _, d := range all {
					if n := rawNumber("msg")(d); d["tag"] == "raw" && d["msg"] != rawLine(n) {
						t.Fatalf("line %d: %v", n, d)
					}
				}
				return
			}
			engine.Eventually(t, time.Minute, func() (bool, string) {
				all = readRsyslog(t, stored)
				return len(all) >= 2*lines, fmt.Sprintf("%d of %d messages", len(all), 2*lines)
			})
			var raw, parsed []document
			for _, d := range all {
				if d["tag"] == "raw" {
					raw = append(raw, d)
				} else {
					d["n"] = d["sd.n"]
					parsed = append(parsed, d)
				}
			}
			compare(t, raw, rawNumber("msg"), func(n int) document {
				return document{"msg": rawLine(n), "sd.team": "blue", "sd.source": f.raw(), "tag": "raw"}
			})
			compare(t, parsed, func(d document) int {
				var n int
				if _, err := fmt.Sscanf(d["msg"], `{"n":%d,`, &n); err != nil {
					return -1
				}
				return n
			}, func(n int) document {
				return document{"msg": jsonLine(n), "sd.team": "red", "sd.source": f.json()}
			})
		})
	}
}

func rsyslogConfig(protocol, dir, host, port, stored string) string {
	module, options := map[string]string{"udp": "imudp", "tcp": "imtcp", "tls": "imtcp", "relp": "imrelp", "relp+tls": "imrelp"}[protocol], ""
	global := `maxMessageSize="64k"`
	loaded := ""
	switch protocol {
	case "tls":
		global += fmt.Sprintf(` defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="%[1]s/ca.pem" defaultNetstreamDriverCertFile="%[1]s/cert.pem" defaultNetstreamDriverKeyFile="%[1]s/key.pem"`, dir)
		loaded = ` StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.Authmode="anon"`
	case "relp+tls":
		options = fmt.Sprintf(` tls="on" tls.caCert="%[1]s/ca.pem" tls.myCert="%[1]s/cert.pem" tls.myPrivKey="%[1]s/key.pem" tls.authMode="certvalid"`, dir)
	}
	return fmt.Sprintf(`
global(%s workDirectory="%s" parser.escapeControlCharactersOnReceive="off")
module(load="%s"%s)
input(type="%s" port="%s" address="%s"%s)
template(name="all" type="string" string="%%hostname%% %%app-name%% %%structured-data%% %%msg%%\n")
action(type="omfile" file="%s" template="all")
`, global, dir, module, loaded, module, port, host, options, stored)
}

var (
	storedMessage = regexp.MustCompile(`^(\S+) (\S+) \[remora@32473((?: [^ =]+="(?:[^"\\\]]|\\.)*")+)\] ?(.*)$`)
	storedParam   = regexp.MustCompile(` ([^ =]+)="((?:[^"\\\]]|\\.)*)"`)
)

func readRsyslog(t *testing.T, path string) (all []document) {
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
		m := storedMessage.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("stored: %.500s", line)
		}
		d := document{"tag": m[2], "msg": m[4]}
		for _, p := range storedParam.FindAllStringSubmatch(m[3], -1) {
			d["sd."+p[1]] = strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\]`, `]`).Replace(p[2])
		}
		all = append(all, d)
	}
	return all
}

// certificate makes an authority and a certificate for 127.0.0.1 in dir, and returns the path of the authority's.
func certificate(t *testing.T, dir string) string {
	t.Helper()
	make := func(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey, name string) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if parentKey == nil {
			parentKey = key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
			if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return key
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key := make(ca, ca, nil, "ca")
	make(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, ca, key, "cert")
	return filepath.Join(dir, "ca.pem")
}
