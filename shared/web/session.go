// SPDX-License-Identifier: Apache-2.0

package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// sessionTime is how long a cookie is valid.
const sessionTime = 12 * time.Hour

// sessions creates and verifies session cookies without storing them. A cookie holds its expiry and an HMAC of the expiry and
// the token, under a key that exists only in this process. A new token or a restart therefore ends all sessions.
type sessions struct{ key [32]byte }

func newSessions() *sessions {
	s := new(sessions)
	_, _ = rand.Read(s.key[:]) // never fails
	return s
}

// cookieName returns the name of the cookie. With TLS, its prefix makes browsers restrict it to this host and to TLS.
func cookieName(tls bool) string {
	if tls {
		return "__Host-remora"
	}
	return "remora"
}

func (s *sessions) cookie(value string, age time.Duration, tls bool) *http.Cookie {
	return &http.Cookie{Name: cookieName(tls), Value: value, Path: "/", MaxAge: int(age.Seconds()), HttpOnly: true, Secure: tls,
		SameSite: http.SameSiteStrictMode}
}

// begin returns a new cookie for a client that has presented the token.
func (s *sessions) begin(token string, tls bool, now time.Time) *http.Cookie {
	end := strconv.FormatInt(now.Add(sessionTime).Unix(), 10)
	return s.cookie(end+"."+base64.RawURLEncoding.EncodeToString(s.code(end, token)), sessionTime, tls)
}

// over returns a cookie that makes the browser delete the session cookie.
func (s *sessions) over(tls bool) *http.Cookie {
	c := s.cookie("", 0, tls)
	c.MaxAge = -1
	return c
}

func (s *sessions) code(end, token string) []byte {
	h := hmac.New(sha256.New, s.key[:])
	h.Write([]byte(end + "\x00" + token))
	return h.Sum(nil)
}

// valid reports whether a cookie was created for the token and has not expired.
func (s *sessions) valid(value, token string, now time.Time) bool {
	end, text, ok := strings.Cut(value, ".")
	if !ok || token == "" {
		return false
	}
	code, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || !hmac.Equal(code, s.code(end, token)) {
		return false
	}
	until, err := strconv.ParseInt(end, 10, 64)
	return err == nil && now.Unix() < until
}
