// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/output/settings"
)

// OpenSearch Service takes nothing, not even the question what it is, without a signature.
func TestRequestsAreSignedForAWS(t *testing.T) {
	signed := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		auth := r.Header.Get("Authorization")
		if !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential=AKID/") || !strings.Contains(auth, "/eu-west-1/aoss/aws4_request, ") ||
			r.Header.Get("X-Amz-Date") == "" || r.Header.Get("X-Amz-Security-Token") != "token" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		signed++
		_, _ = io.WriteString(w, `{"errors":false,"tagline":"The OpenSearch Project: https://opensearch.org/"}`)
	}))
	defer s.Close()
	environ := map[string]string{
		"ELASTICSEARCH_HOSTS": s.URL, "ELASTICSEARCH_AWS_REGION": "eu-west-1", "ELASTICSEARCH_AWS_SERVICE": "aoss",
		"ELASTICSEARCH_AWS_ACCESS_KEY_ID": "AKID", "ELASTICSEARCH_AWS_SECRET_ACCESS_KEY": "hunter2", "ELASTICSEARCH_AWS_SESSION_TOKEN": "token",
	}
	var c Config
	require.NoError(t, settings.Load(environ, &c))
	o, err := Open(c)
	require.NoError(t, err)
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 3, sample.Source(1))))
	require.NoError(t, o.Close())
	require.Equal(t, 2, signed)
	environ["ELASTICSEARCH_USER"] = "u"
	require.ErrorContains(t, settings.Load(environ, new(Config)), "ELASTICSEARCH_AWS_REGION")
}
