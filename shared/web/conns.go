// SPDX-License-Identifier: Apache-2.0

package web

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
)

// connections bounds the connections of a listener. A new one over the bound closes another that has no request in work, so
// that whoever opens many can't keep others, such as the probes of a kubelet, from being answered.
type connections struct {
	mu  sync.Mutex
	all map[net.Conn]http.ConnState
}

// note is an http.Server's ConnState.
func (c *connections) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == http.StateClosed || state == http.StateHijacked {
		delete(c.all, conn)
		return
	}
	c.all[conn] = state
	if len(c.all) <= maxConns {
		return
	}
	for other, of := range c.all {
		if other != conn && of != http.StateActive {
			delete(c.all, other)
			_ = other.Close()
			return
		}
	}
	if state == http.StateNew {
		delete(c.all, conn)
		_ = conn.Close()
	}
}

// tls returns how the listener speaks TLS; nil where it does not. The files are read for each connection, because
// certificates are renewed while Remora runs.
func (a *Access) tls() (*tls.Config, error) {
	if a.Cert == "" {
		return nil, nil
	}
	load := func() (*tls.Config, error) {
		pair, err := tls.LoadX509KeyPair(a.Cert, a.Key)
		if err != nil {
			return nil, fmt.Errorf("REMORA_LISTEN_CERT, REMORA_LISTEN_KEY: %w", err)
		}
		c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
		if a.ClientCA == "" {
			return c, nil
		}
		content, err := os.ReadFile(a.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("REMORA_LISTEN_CLIENT_CA: %w", err)
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("REMORA_LISTEN_CLIENT_CA: %s holds no certificate in PEM", a.ClientCA)
		}
		c.ClientAuth = tls.VerifyClientCertIfGiven // probes and scrapes have none
		return c, nil
	}
	first, err := load()
	if err != nil {
		return nil, err
	}
	first.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return load() }
	return first, nil
}
