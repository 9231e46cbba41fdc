// SPDX-License-Identifier: Apache-2.0

// Package probe holds what the outputs' checks of their backends share: how a connection was secured, and the error of a refusal.
package probe

import (
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// Denied is the error of a backend that was reached and refused our credentials.
type Denied struct{ Cause error }

func (e *Denied) Error() string { return e.Cause.Error() }
func (e *Denied) Unwrap() error { return e.Cause }

// Denied marks the kind of failure for the pipeline.
func (e *Denied) Denied() {}

// Connection describes how a connection is secured, as the end of a sentence.
func Connection(c net.Conn) string {
	secured, ok := c.(*tls.Conn)
	if !ok {
		return "without TLS"
	}
	state := secured.ConnectionState()
	text := "with " + tls.VersionName(state.Version)
	if len(state.PeerCertificates) > 0 {
		text += fmt.Sprintf(" (certificate valid until %s)", state.PeerCertificates[0].NotAfter.UTC().Format(time.DateOnly))
	}
	return text
}
