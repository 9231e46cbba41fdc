// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/remora-logs/remora/shared/output"
)

// Probe asks for u with the credentials of the moment and returns the status of an answer by which a server lets us in,
// whatever it thinks of the question. Any other answer is an error.
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

// LetIn returns what the verdict on an empty request means for who asks whether there is a way in: nothing is wrong where it was
// refused for its content.
func LetIn(verdict error) error {
	var refused *output.Refused
	if errors.As(verdict, &refused) {
		return nil
	}
	return verdict
}
