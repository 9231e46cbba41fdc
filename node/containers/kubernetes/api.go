// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// accountDir is where the kubelet mounts a Pod's service account.
const accountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

const (
	askTimeout = 10 * time.Second
	// maxAnswer bounds an answer in bytes. All Pods of a node take a few MiB.
	maxAnswer = 64 << 20
)

// Server holds how to reach the API server.
type Server struct {
	URL   string // https://HOST:PORT
	Token string // file, read again for each request: the kubelet renews it
	CA    string // file
	Agent string // User-Agent
}

// InCluster returns the server as a Pod's environment names it. ok is false outside of a cluster.
func InCluster(environ map[string]string, version string) (s Server, ok bool) {
	host, port := environ["KUBERNETES_SERVICE_HOST"], environ["KUBERNETES_SERVICE_PORT"]
	return Server{URL: "https://" + net.JoinHostPort(host, port), Token: filepath.Join(accountDir, "token"),
		CA: filepath.Join(accountDir, "ca.crt"), Agent: "remora-node/" + version}, host != "" && port != ""
}

// api is a client of the API server.
type api struct {
	server Server
	http   *http.Client
}

func newAPI(s Server) (*api, error) {
	transport := &http.Transport{ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: askTimeout,
		TLSHandshakeTimeout: askTimeout, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		// Pings detect a server that vanished without closing; otherwise a watch would wait for it for a quarter of an hour.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second}}
	if s.CA != "" {
		pem, err := os.ReadFile(s.CA)
		if err != nil {
			return nil, fmt.Errorf("certificate of the API server: %w", err)
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("certificate of the API server: %s holds none", s.CA)
		}
	}
	return &api{server: s, http: &http.Client{Transport: transport}}, nil
}

// statusError is a response with a status other than 200.
type statusError struct {
	code    int
	message string
}

func (e *statusError) Error() string { return "the API server refuses: " + e.message }

// isStatus reports whether err is a statusError with one of codes.
func isStatus(err error, codes ...int) bool {
	var s *statusError
	if !errors.As(err, &s) {
		return false
	}
	for _, code := range codes {
		if s.code == code {
			return true
		}
	}
	return false
}

// get requests path and decodes the answer.
func (a *api) get(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	body, err := a.open(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("answer of the API server: %w", err)
	}
	return nil
}

// open requests path and returns the body if the status is 200. The caller closes it.
func (a *api) open(ctx context.Context, path string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.server.URL+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", a.server.Agent)
	if a.server.Token != "" {
		token, err := os.ReadFile(a.server.Token)
		if err != nil {
			return nil, fmt.Errorf("token for the API server: %w", err)
		}
		request.Header.Set("Authorization", "Bearer "+string(bytes.TrimSpace(token)))
	}
	response, err := a.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("the API server does not answer: %w", err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	var refusal struct{ Message string }
	if json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&refusal) != nil || refusal.Message == "" {
		refusal.Message = response.Status
	}
	return nil, &statusError{response.StatusCode, strings.TrimSpace(refusal.Message)}
}
