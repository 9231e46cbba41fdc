// SPDX-License-Identifier: Apache-2.0

// Package secure makes the TLS configuration of outputs from files that settings name.
package secure

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// File is a path and the variable it was set by, for errors. An empty path is a setting that was not made.
type File struct{ Variable, Path string }

// Config trusts the system's authorities, or those in ca; shows the certificate in cert, where there is one; and checks
// the server's unless verify is false. The client's certificate is read anew for each connection, because it is renewed
// while Remora runs.
func Config(ca, cert, key File, verify bool) (*tls.Config, error) {
	c := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: !verify, //nolint:gosec // only where the user asked for it
	}
	if ca.Path != "" {
		pem, err := os.ReadFile(ca.Path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ca.Variable, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: %s holds no certificate in PEM", ca.Variable, ca.Path)
		}
	}
	if (cert.Path == "") != (key.Path == "") {
		return nil, fmt.Errorf("%s and %s go together; one of them is not set", cert.Variable, key.Variable)
	}
	if cert.Path == "" {
		return c, nil
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
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return c, nil
}
