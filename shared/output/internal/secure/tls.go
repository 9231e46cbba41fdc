// SPDX-License-Identifier: Apache-2.0

// Package secure makes the TLS configuration of outputs from files that settings name, and follows those files.
package secure

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"

	"github.com/remora-logs/remora/shared/output/internal/live"
)

// Settings are the TLS settings of an output, which embeds them with the prefix of its variables.
type Settings struct {
	Verify bool   `env:"SSL_VERIFY" envDefault:"true" doc:"Verify the server's certificate"`
	CA     string `env:"CA" doc:"File with the certificate authorities to trust, PEM; by default the system's. Read again when it changes, like the two below"`
	Cert   string `env:"CERT" doc:"File with the client certificate, PEM"`
	Key    string `env:"KEY" doc:"File with the client certificate's key, PEM"`
}

// Open reads the files. prefix is the one that the settings were embedded with, for errors.
func (s Settings) Open(prefix string) (*Source, error) {
	return Open(File{prefix + "CA", s.CA}, File{prefix + "CERT", s.Cert}, File{prefix + "KEY", s.Key}, s.Verify)
}

// File is a path and the variable that set it, for errors. The path is empty if the variable is not set.
type File struct{ Variable, Path string }

// Source is a TLS configuration made from files that may be replaced. It is safe for concurrent use. A nil Source returns a
// nil configuration.
type Source struct {
	ca *live.File // nil for the system's authorities

	mu      sync.Mutex
	version int // of ca that config was made of
	config  *tls.Config
}

// Open returns a source that trusts the authorities in ca, or the system's if it is empty. It presents the certificate in
// cert, if there is one, and verifies the server's unless verify is false.
func Open(ca, cert, key File, verify bool) (*Source, error) {
	s := &Source{config: &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: !verify, //nolint:gosec // only where the user asked for it
	}}
	if ca.Path != "" {
		file, err := live.Open(ca.Path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ca.Variable, err)
		}
		content, version := file.Content()
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("%s: %s holds no certificate in PEM", ca.Variable, ca.Path)
		}
		s.ca, s.version, s.config.RootCAs = file, version, pool
	}
	if (cert.Path == "") != (key.Path == "") {
		return nil, fmt.Errorf("%s and %s go together; one of them is not set", cert.Variable, key.Variable)
	}
	if cert.Path == "" {
		return s, nil
	}
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(cert.Path, key.Path)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", cert.Variable, key.Variable, err)
		}
		return &pair, nil
	}
	if _, err := load(); err != nil {
		return nil, err
	}
	// The certificate is read for each connection, because it is renewed while Remora runs.
	s.config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return s, nil
}

// Config returns the configuration for the next connection. The pointer is the same as long as the authorities are the same,
// and must not be written to. While the file holds no certificate, because it is being written, the last authorities stay.
func (s *Source) Config() *tls.Config {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ca == nil {
		return s.config
	}
	content, version := s.ca.Content()
	if version == s.version {
		return s.config
	}
	s.version = version
	pool := x509.NewCertPool()
	if pool.AppendCertsFromPEM(content) {
		s.config = s.config.Clone()
		s.config.RootCAs = pool
	}
	return s.config
}
