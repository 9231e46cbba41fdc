// SPDX-License-Identifier: Apache-2.0

// Package probe is what outputs share that try their backends: what was seen, and why one would take nothing.
package probe

import (
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// Denied is a backend that was reached and does not let us in.
type Denied struct{ Cause error }

func (e *Denied) Error() string { return e.Cause.Error() }
func (e *Denied) Unwrap() error { return e.Cause }

// Denied tells the pipeline what kind of failure it is.
func (e *Denied) Denied() {}

// Connection says how a connection is secured, as the end of a sentence.
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
