// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/output/internal/secure"
	"github.com/remora-logs/remora/shared/output/settings"
)

// OAuth2 holds the settings of an output that gets bearer tokens from an authorization server with client credentials (RFC
// 6749, 4.4). The output embeds them with the prefix of its variables.
type OAuth2 struct {
	TokenURL     string          `env:"OAUTH2_TOKEN_URL" doc:"URL of an authorization server that gives bearer tokens for client credentials"`
	ClientID     string          `env:"OAUTH2_CLIENT_ID" doc:"Client id at the authorization server"`
	ClientSecret settings.Secret `env:"OAUTH2_CLIENT_SECRET" secret:"true" doc:"Client secret at the authorization server"`
	Scopes       string          `env:"OAUTH2_SCOPES" doc:"Scopes to request, separated by spaces"`
}

// Open returns the tokens that o configures, or nil if it configures none. tls secures the connection to the authorization
// server.
func (o *OAuth2) Open(prefix string, tls *secure.Source, timeout time.Duration) (*Tokens, error) {
	if o.TokenURL == "" {
		if o.ClientID != "" || o.ClientSecret.IsSet() {
			return nil, fmt.Errorf("%sOAUTH2_CLIENT_ID or %sOAUTH2_CLIENT_SECRET is set, but %sOAUTH2_TOKEN_URL is not", prefix, prefix, prefix)
		}
		return nil, nil
	}
	if o.ClientID == "" || !o.ClientSecret.IsSet() {
		return nil, fmt.Errorf("%sOAUTH2_TOKEN_URL is set; %sOAUTH2_CLIENT_ID and %sOAUTH2_CLIENT_SECRET go with it", prefix, prefix, prefix)
	}
	u, err := ParseURL(o.TokenURL, "https")
	if err != nil {
		return nil, fmt.Errorf("%sOAUTH2_TOKEN_URL: %w", prefix, err)
	}
	u.User = nil
	return &Tokens{
		settings: *o, url: u, turn: make(chan struct{}, 1),
		client: NewClient(Options{TLS: tls, Codec: None, Timeout: min(timeout, 30*time.Second)}),
	}, nil
}

// Tokens gets bearer tokens, and keeps each for 80% of its life. It is safe for concurrent use.
type Tokens struct {
	settings OAuth2
	url      *url.URL
	client   *Client

	turn  chan struct{} // held while the fields below are used
	token string
	until time.Time
	tried time.Time // when the server last failed
	err   error     // of that failure
}

const (
	// retryTokens is how long a failure of the authorization server is returned before it is asked again.
	retryTokens = time.Second
	// maxLife is the life of a token that does not state a plausible one.
	maxLife = time.Hour
)

// Token returns a token, which is valid for a while.
func (t *Tokens) Token(ctx context.Context) (string, error) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	now := time.Now()
	if t.token != "" && now.Before(t.until) {
		return t.token, nil
	}
	if t.err != nil && now.Sub(t.tried) < retryTokens {
		return "", t.err
	}
	token, life, err := t.fetch(ctx)
	if err != nil {
		t.err, t.tried = fmt.Errorf("getting a token: %w", err), now
		return "", t.err
	}
	t.token, t.until, t.err = token, now.Add(life*8/10), nil
	return token, nil
}

// Rejected makes the next Token fetch a new one. The caller reports that its server did not accept token.
func (t *Tokens) Rejected(token string) {
	t.turn <- struct{}{}
	if t.token == token {
		t.token = ""
	}
	<-t.turn
}

func (t *Tokens) fetch(ctx context.Context) (token string, life time.Duration, err error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if t.settings.Scopes != "" {
		form.Set("scope", t.settings.Scopes)
	}
	buffer := t.client.Buffer()
	defer t.client.Release(buffer)
	buffer.Bytes = append(buffer.Bytes, form.Encode()...)
	id, secret := url.QueryEscape(t.settings.ClientID), url.QueryEscape(t.settings.ClientSecret.Reveal())
	header := http.Header{"Authorization": {Basic(id, secret)}, "Accept": {"application/json"}}
	r, end, err := t.client.PostWith(ctx, t.url, "application/x-www-form-urlencoded", buffer, header)
	defer end()
	if err != nil {
		return "", 0, err
	}
	if r.Status != http.StatusOK {
		return "", 0, errors.New(r.Verdict().Error()) // drop the verdict's kind, which is not about records
	}
	defer r.Discard()
	var said struct {
		Token string      `json:"access_token"`
		Type  string      `json:"token_type"`
		Life  json.Number `json:"expires_in"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 256<<10)).Decode(&said); err != nil || said.Token == "" || strings.ContainsAny(said.Token, "\r\n") {
		return "", 0, r.Errorf("the answer holds no token")
	}
	life = maxLife
	if seconds, err := said.Life.Float64(); err == nil && seconds > 0 && seconds < maxLife.Seconds()*24*365 {
		life = time.Duration(seconds * float64(time.Second))
	}
	return said.Token, life, nil
}
