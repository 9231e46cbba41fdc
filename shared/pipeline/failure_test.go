// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWhatCostsABackendNothing(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	lookup := &net.OpError{Op: "dial", Err: &net.DNSError{Name: "es-1", IsNotFound: true}}
	reset := &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}
	web := func(err error) error {
		return fmt.Errorf("es-1:9200: %w", &url.Error{Op: "Post", URL: "http://es-1:9200/_bulk", Err: err})
	}
	for _, err := range []error{refused, web(refused), web(&net.OpError{Op: "proxyconnect", Err: refused}), errors.Join(web(refused), refused)} {
		require.True(t, unreachable(err), "%v", err)
	}
	for _, err := range []error{lookup, web(lookup), reset, web(io.EOF), errors.Join(refused, reset), errors.New("503"), context.DeadlineExceeded} {
		require.False(t, unreachable(err), "%v", err)
	}
}

type deniedError struct{ error }

func (deniedError) Denied() {}

func TestWhatKindOfFailureItIs(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := closed.Addr().String()
	require.NoError(t, closed.Close())
	_, refused := net.Dial("tcp", address)
	require.Error(t, refused)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	_, untrusted := http.Get(secure.URL)
	require.Error(t, untrusted)
	late, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	for code, all := range map[string][]error{
		"REM3001": {errors.New("500 Internal Server Error"), context.DeadlineExceeded, late.Err(), &net.OpError{Op: "read", Err: errors.New("reset")}},
		"REM3007": {refused, &net.DNSError{Name: "es-1", IsNotFound: true}},
		"REM3008": {deniedError{errors.New("401 Unauthorized")}},
		"REM3009": {untrusted},
	} {
		for _, err := range all {
			require.Equal(t, code, failureOf(fmt.Errorf("output kafka: %w", err)).Code, "%v", err)
		}
	}
}
