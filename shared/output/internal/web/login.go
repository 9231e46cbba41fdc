// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/remora-logs/remora/shared/output/internal/live"
	"github.com/remora-logs/remora/shared/output/internal/secure"
	"github.com/remora-logs/remora/shared/output/settings"
)

// Settings are the credentials and the TLS settings of an output that posts to a server, which embeds them with the prefix of
// its variables.
type Settings struct {
	User     string          `env:"USER" doc:"User for basic authentication"`
	Password settings.Secret `env:"PASSWORD" secret:"true" doc:"Password for basic authentication"`
	Bearer   settings.Secret `env:"BEARER_TOKEN" secret:"true" doc:"Bearer token, instead of a user"`
	Headers  settings.Secret `env:"HEADERS" secret:"true" doc:"Further headers as name=value, separated by commas"`
	OAuth2
	secure.Settings
}

// Client returns a client for u, and removes the user from u. It completes o from s. Each request carries the headers in fixed.
func (s *Settings) Client(prefix string, u *url.URL, o Options, fixed http.Header) (*Client, error) {
	var err error
	if o.Login, err = s.Login(prefix, u.User); err != nil {
		return nil, err
	}
	u.User, o.Login.Fixed = nil, fixed
	return s.NewClient(prefix, o)
}

// NewClient returns a client with o's options, completed by the TLS and token settings of s.
func (s *Settings) NewClient(prefix string, o Options) (_ *Client, err error) {
	if o.TLS, err = s.Settings.Open(prefix); err != nil {
		return nil, err
	}
	if o.Tokens, err = s.OAuth2.Open(prefix, o.TLS, o.Timeout); err != nil {
		return nil, err
	}
	if o.Tokens != nil && (s.User != "" || s.Bearer.IsSet()) {
		return nil, fmt.Errorf("%sOAUTH2_TOKEN_URL is set beside %sUSER or %sBEARER_TOKEN; set one of them", prefix, prefix, prefix)
	}
	return NewClient(o), nil
}

// Login returns the login of s. inURL, a user that a URL named, is used if none was set. prefix is the one that the settings
// were embedded with, for errors.
func (s *Settings) Login(prefix string, inURL *url.Userinfo) (*Login, error) {
	l := &Login{User: s.User, Password: s.Password, Bearer: s.Bearer, Headers: s.Headers}
	if s.User != "" && s.Bearer.IsSet() {
		return nil, fmt.Errorf("%sUSER and %sBEARER_TOKEN are both set; set one of them", prefix, prefix)
	}
	if inURL != nil && s.User == "" && !s.Bearer.IsSet() {
		password, _ := inURL.Password()
		l.User, l.Password = inURL.Username(), settings.NewSecret(password)
	}
	if _, err := l.Header(); err != nil {
		return nil, fmt.Errorf("%s%w", prefix, err)
	}
	return l, nil
}

// Login holds the credentials for a server: user and password, a bearer token, or a key of the server's own kind.
type Login struct {
	User                     string
	Password, Bearer, APIKey settings.Secret
	Headers                  settings.Secret // name=value, separated by commas
	// Scheme precedes an APIKey in the header; empty means ApiKey.
	Scheme string
	// Credentials is a file with user:password, which takes precedence over User and Password; nil if there is none.
	Credentials *live.File
	// Decode decodes the values of Headers before they are used; nil leaves them as they are.
	Decode func(value string) string
	// Fixed are headers that don't change.
	Fixed http.Header
}

// Header returns the headers of the next request, with the current secrets. The caller may change it.
func (l *Login) Header() (http.Header, error) {
	header := l.Fixed.Clone()
	if header == nil {
		header = make(http.Header, 6)
	}
	for pair := range strings.SplitSeq(l.Headers.Reveal(), ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		switch {
		case !ok:
			return nil, errors.New("HEADERS: it must be a list of name=value, separated by commas")
		case !validName(name):
			return nil, errors.New("HEADERS: one of the names is not that of a header")
		}
		if l.Decode != nil {
			value = l.Decode(value)
		}
		header.Set(textproto.TrimString(name), textproto.TrimString(value))
	}
	switch {
	case l.APIKey.IsSet():
		header.Set("Authorization", cmp.Or(l.Scheme, "ApiKey")+" "+l.APIKey.Reveal())
	case l.Bearer.IsSet():
		header.Set("Authorization", "Bearer "+l.Bearer.Reveal())
	case l.Credentials != nil:
		content, _ := l.Credentials.Content()
		user, password, _ := strings.Cut(strings.TrimRight(string(content), "\r\n"), ":")
		header.Set("Authorization", Basic(user, password))
	case l.User != "":
		header.Set("Authorization", Basic(l.User, l.Password.Reveal()))
	}
	return header, nil
}

// validName reports whether name, without spaces around it, is a token (RFC 9110, 5.6.2).
func validName(name string) bool {
	name = textproto.TrimString(name)
	for i := range len(name) {
		c := name[i]
		if c <= ' ' || c >= 0x7f || c == ':' || c == '(' || c == ')' || c == '"' || c == ',' || c == '/' || c == ';' || c == '=' {
			return false
		}
	}
	return name != ""
}

// Basic returns the value of Authorization for user and password.
func Basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
