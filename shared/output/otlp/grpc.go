// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/web"
)

// Codes of gRPC (google.golang.org/grpc/codes) that tell of the records and not of the moment.
const (
	invalidArgument   = 3
	resourceExhausted = 8
)

// status is what the trailers of a call say: a unary call is an HTTP/2 request, so it needs no library of its own.
func (o *Output) status(r *web.Response) error {
	code, message := r.Trailer("Grpc-Status"), r.Trailer("Grpc-Message")
	n, err := strconv.Atoi(code)
	if err != nil {
		return r.Errorf("the answer is not one of gRPC: grpc-status is %q", code)
	}
	if n == 0 {
		return nil
	}
	if text, err := url.PathUnescape(message); err == nil {
		message = text
	}
	err = r.Errorf("grpc-status %d: %s", n, web.Quote([]byte(message)))
	switch {
	case n == invalidArgument:
		return &output.Refused{Cause: err}
	case n == resourceExhausted && strings.Contains(message, "larger than max"):
		return &output.TooLarge{Cause: err} // what gRPC itself says of a message over the server's limit, 4 MiB mostly
	case n == resourceExhausted:
		return &output.Throttled{Cause: err}
	}
	return err
}
