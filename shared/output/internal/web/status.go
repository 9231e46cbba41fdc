// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/remora-logs/remora/shared/output"
)

// maxAfter bounds what Retry-After can ask for: a server's slip must not stop us for a day.
const maxAfter = 5 * time.Minute

// Verdict is what a status other than success means for the batch, in the words of output.Output; refused lists the
// statuses that mean that it lies in the records. Of the rest of 4xx (credentials, a wrong path) nothing is lost: they
// are sent again until somebody has mended it. It reads the answer's body.
func (r *Response) Verdict(refused ...int) error {
	err := fmt.Errorf("%s: %d %s: %s", r.from, r.Status, http.StatusText(r.Status), r.Said())
	for _, status := range refused {
		if r.Status == status {
			return &output.Refused{Cause: err}
		}
	}
	if r.Status == http.StatusRequestEntityTooLarge {
		return &output.TooLarge{Cause: err}
	}
	if after := RetryAfter(r.Header, time.Now()); after > 0 || r.Status == http.StatusTooManyRequests {
		return &output.Throttled{After: after, Cause: err}
	}
	return err
}

// Errorf is an error that names the host.
func (r *Response) Errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %w", r.from, fmt.Errorf(format, args...))
}

// RetryAfter is what the header Retry-After asks for (RFC 9110, 10.2.3): seconds, or a date. 0 where it does not.
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
