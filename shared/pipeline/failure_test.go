// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

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
