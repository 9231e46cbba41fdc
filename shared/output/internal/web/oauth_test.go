// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output/settings"
)

// authority gives tokens t1, t2, …, and backend takes the newest one only.
type authority struct {
	given int
	life  int
	fails bool
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	if a.fails || id != "client%3A1" || secret != "hunter2%2F" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "a b" {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprint(w, `{"error":"invalid_client"}`)
		return
	}
	a.given++
	_, _ = fmt.Fprintf(w, `{"access_token":"t%d","token_type":"Bearer","expires_in":%d}`, a.given, a.life)
}

func TestTokensAreKeptRenewedAndReplaced(t *testing.T) {
	a := &authority{life: 3600}
	server := httptest.NewServer(a)
	defer server.Close()
	var got []string
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		if r.Header.Get("Authorization") != fmt.Sprintf("Bearer t%d", a.given) {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer backend.Close()
	s := &Settings{OAuth2: OAuth2{TokenURL: server.URL, ClientID: "client:1", ClientSecret: settings.NewSecret("hunter2/"), Scopes: "a b"}}
	c, err := s.Client("X_", address(t, backend), Options{Codec: None, Timeout: time.Minute}, nil)
	require.NoError(t, err)
	send := func() int {
		r, err := post(t, c, address(t, backend), []byte("x"))
		require.NoError(t, err)
		r.Discard()
		return r.Status
	}
	require.Equal(t, 200, send())
	require.Equal(t, 200, send())
	require.Equal(t, 1, a.given, "a token is kept")

	a.given++ // it is revoked
	require.Equal(t, 401, send())
	require.Equal(t, 200, send(), "and replaced")
	require.Equal(t, []string{"Bearer t1", "Bearer t1", "Bearer t1", "Bearer t3"}, got)

	c.options.Tokens.until = time.Now() // most of its life is over
	a.fails = true
	_, err = post(t, c, address(t, backend), []byte("x"))
	require.ErrorContains(t, err, "getting a token")
	require.ErrorContains(t, err, "invalid_client")
	require.NotContains(t, err.Error(), "hunter2")
	a.fails = false
	_, err = post(t, c, address(t, backend), []byte("x"))
	require.ErrorContains(t, err, "invalid_client", "the authority is not asked for each batch")
	c.options.Tokens.tried = time.Now().Add(-retryTokens)
	require.Equal(t, 200, send())
}

func TestWrongSettingsOfOAuth2(t *testing.T) {
	secret := settings.NewSecret("s")
	for want, s := range map[string]Settings{
		"X_OAUTH2_TOKEN_URL is not":      {OAuth2: OAuth2{ClientID: "id"}},
		"X_OAUTH2_CLIENT_SECRET go with": {OAuth2: OAuth2{TokenURL: "https://h", ClientID: "id"}},
		"X_OAUTH2_TOKEN_URL: ":           {OAuth2: OAuth2{TokenURL: "ftp://h", ClientID: "id", ClientSecret: secret}},
		"X_BEARER_TOKEN":                 {OAuth2: OAuth2{TokenURL: "https://h", ClientID: "id", ClientSecret: secret}, Bearer: secret},
	} {
		_, err := s.NewClient("X_", Options{Timeout: time.Minute})
		require.ErrorContains(t, err, want)
	}
}
