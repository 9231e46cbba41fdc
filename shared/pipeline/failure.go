// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"

	"github.com/remora-logs/remora/shared/notice"
)

// failureOf returns the message for the kind of failure that an output's error is, which says what to do about it.
func failureOf(err error) *notice.Message {
	var (
		denied      interface{ Denied() } // the backend was reached and denies access
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		name        x509.HostnameError
		invalid     x509.CertificateInvalidError
		lookup      *net.DNSError
		dial        *net.OpError
	)
	switch {
	case errors.As(err, &denied):
		return notice.OutputDenied
	case errors.As(err, &certificate), errors.As(err, &authority), errors.As(err, &name), errors.As(err, &invalid):
		return notice.OutputNotTrusted
	case errors.As(err, &lookup), errors.As(err, &dial) && dial.Op == "dial":
		return notice.OutputUnreachable
	}
	return notice.OutputFailed
}

// unreachable reports whether no connection could be opened to any host that was tried. Such an attempt costs the backend
// nothing. A name that was not found is another matter: looking it up costs a name server.
func unreachable(err error) bool {
	switch e := err.(type) {
	case *net.DNSError:
		return false
	case *net.OpError:
		if e.Op != "dial" {
			return unreachable(e.Err)
		}
		var lookup *net.DNSError
		return !errors.As(e.Err, &lookup)
	case interface{ Unwrap() []error }: // one for each host
		for _, of := range e.Unwrap() {
			if !unreachable(of) {
				return false
			}
		}
		return true
	case interface{ Unwrap() error }:
		return unreachable(e.Unwrap())
	}
	return false
}
