// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/probe"
)

// maxAfter bounds Retry-After: a server's mistake must not stop the output for a day.
const maxAfter = 5 * time.Minute

// Verdict returns what a status other than success means for the batch; see output.Output. refused lists the statuses by which
// the backend objects to the records themselves. For the rest of 4xx (credentials, a wrong path) nothing is lost: the records
// are sent again until an operator has mended it. Verdict reads the answer's body.
func (r *Response) Verdict(refused ...int) error {
	said := r.Said()
	err := fmt.Errorf("%s: %d %s: %s", r.from, r.Status, http.StatusText(r.Status), said)
	if location := r.location(); location != "" {
		err = fmt.Errorf("%w (redirects to %s, which is not followed: set that address)", err, location)
	}
	switch r.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		err = &probe.Denied{Cause: err}
	}
	switch {
	case r.Status == http.StatusRequestEntityTooLarge, r.Status >= 400 && r.Status != http.StatusTooManyRequests && TooLarge(said):
		return &output.TooLarge{Cause: err}
	case slices.Contains(refused, r.Status):
		if foreign(r.Header.Get("Content-Type"), said) {
			return &Suspect{Cause: fmt.Errorf("%w (this is not the backend's answer: check the address, http or https, and what lies between)", err)}
		}
		return &output.Refused{Cause: err}
	}
	if after := RetryAfter(r.Header, time.Now()); after > 0 || r.Status == http.StatusTooManyRequests {
		return &output.Throttled{After: after, Cause: err}
	}
	if suspect(r.Status) {
		return &Suspect{Cause: err}
	}
	return err
}

// location returns the target of a redirect without its query and user, which may be secrets.
func (r *Response) location() string {
	if r.Status < 300 || r.Status > 399 {
		return ""
	}
	u, err := url.Parse(r.Header.Get("Location"))
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return Quote([]byte(u.String()))
}

// tooLarge holds the words by which servers without a status for it say that a request is too large: gRPC in Go, C++ and
// JavaScript; in Rust; in Java; in .NET; Go's HTTP server; Loki, which passes on the errors of its own gRPC.
var tooLarge = []string{
	"larger than max", "message length too large", "exceeds maximum size", "exceeds the maximum configured message size",
	"request body too large", "request entity too large", "payload too large", "message too large", "postbodytoolarge",
}

// TooLarge reports whether a server's words mean that the request was larger than it takes.
func TooLarge(said string) bool {
	said = strings.ToLower(said)
	return slices.ContainsFunc(tooLarge, func(words string) bool { return strings.Contains(said, words) })
}

// foreign reports whether an answer of status 400 comes from something in front of the backend, or from a server that was
// spoken to in the wrong protocol. It then says nothing about the records.
func foreign(contentType, said string) bool {
	lower := strings.ToLower(said)
	return strings.Contains(strings.ToLower(contentType), "html") || strings.HasPrefix(lower, "<") ||
		strings.Contains(lower, "http request to an https") || // Go
		strings.Contains(lower, "plain http request was sent to https") || // nginx
		strings.Contains(lower, "speaking plain http to an ssl") || // Apache
		lower == "bad request" || strings.HasPrefix(lower, "400 bad request") // servers that could not read the request
}

// Errorf returns an error that names the host.
func (r *Response) Errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %w", r.from, fmt.Errorf(format, args...))
}

// RetryAfter returns the delay that the header Retry-After asks for (RFC 9110, 10.2.3), in seconds or as a date; 0 if none.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if text == "" {
		return 0
	}
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
		return min(time.Duration(min(seconds, int(maxAfter/time.Second)))*time.Second, maxAfter)
	}
	if at, err := http.ParseTime(text); err == nil && at.After(now) {
		return min(at.Sub(now), maxAfter)
	}
	return 0
}
