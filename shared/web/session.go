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

// sessions makes cookies and tells whether it made one. It keeps none: a cookie holds its end, and a code of that, of the
// token as it was, and of a key that dies with the process. So another token, and a restart, end all sessions.
type sessions struct{ key [32]byte }

func newSessions() *sessions {
	s := new(sessions)
	_, _ = rand.Read(s.key[:]) // it never fails
	return s
}

// cookieName makes browsers keep a cookie to this host and to TLS, where there is TLS.
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

// begin returns the cookie of who has shown the token.
func (s *sessions) begin(token string, tls bool, now time.Time) *http.Cookie {
	end := strconv.FormatInt(now.Add(sessionTime).Unix(), 10)
	return s.cookie(end+"."+base64.RawURLEncoding.EncodeToString(s.code(end, token)), sessionTime, tls)
}

// over returns a cookie that removes another.
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

// valid reports whether a cookie was made for the token, and has not ended.
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
