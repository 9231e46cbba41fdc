// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/remora-logs/remora/shared/output"
)

// Probe sends a GET request for u with the current credentials, and returns the status if the server accepts the credentials,
// even if it rejects the request itself. Any other answer is an error.
func (c *Client) Probe(ctx context.Context, u *url.URL) (status int, err error) {
	r, end, err := c.Get(ctx, u)
	defer end()
	if err != nil {
		return 0, err
	}
	if r.Status >= 200 && r.Status < 300 {
		r.Discard()
		return r.Status, nil
	}
	return r.Status, LetIn(r.Verdict(http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusNotAcceptable, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity))
}

// LetIn returns the verdict on an empty request as an answer to whether the backend is reachable and accepts us: nil if it
// refused the request only for its content.
func LetIn(verdict error) error {
	var refused *output.Refused
	if errors.As(verdict, &refused) {
		return nil
	}
	return verdict
}
