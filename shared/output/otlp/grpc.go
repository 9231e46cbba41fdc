// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/url"
	"strconv"

	"github.com/klauspost/compress/gzip"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/probe"
	"github.com/remora-logs/remora/shared/output/internal/web"
)

// Codes of gRPC (google.golang.org/grpc/codes) that may be about the records rather than the moment.
const (
	unknown            = 2
	invalidArgument    = 3
	notFound           = 5
	alreadyExists      = 6
	permissionDenied   = 7
	resourceExhausted  = 8
	failedPrecondition = 9
	outOfRange         = 11
	unimplemented      = 12
	internal           = 13
	dataLoss           = 15
	unauthenticated    = 16
)

// suspect holds the codes that may be due to one log's records, or to the state of the server.
var suspect = map[int]bool{
	unknown: true, notFound: true, alreadyExists: true, permissionDenied: true, failedPrecondition: true, outOfRange: true,
	unimplemented: true, internal: true, dataLoss: true,
}

// status returns the verdict in the trailers of a call. A unary call is an HTTP/2 request, so it needs no gRPC library.
func (o *Output) status(r *web.Response) error {
	code, message := r.Trailer("Grpc-Status"), r.Trailer("Grpc-Message")
	n, err := strconv.Atoi(code)
	if err != nil {
		return &web.Suspect{Cause: r.Errorf("the answer is not one of gRPC: grpc-status is %q", code)}
	}
	if n == 0 {
		return nil
	}
	if text, err := url.PathUnescape(message); err == nil {
		message = text
	}
	err = r.Errorf("grpc-status %d: %s", n, web.Quote([]byte(message)))
	if n == unauthenticated || n == permissionDenied {
		err = &probe.Denied{Cause: err}
	}
	switch {
	case n != 0 && web.TooLarge(message): // as ResourceExhausted, OutOfRange or Unknown, depending on the server
		return &output.TooLarge{Cause: err}
	case n == invalidArgument:
		return &output.Refused{Cause: err}
	case n == resourceExhausted:
		return &output.Throttled{Cause: err}
	case suspect[n]:
		return &web.Suspect{Cause: err}
	}
	return err
}

// maxMessage bounds the size of an answer, before and after decompression.
const maxMessage = 1 << 20

// unframe returns the message of an answer without gRPC's prefix, which says whether it is compressed and how long it is.
func unframe(r *web.Response, framed []byte) ([]byte, error) {
	if len(framed) == 0 {
		return nil, nil
	}
	if len(framed) < 5 || int(binary.BigEndian.Uint32(framed[1:])) != len(framed)-5 {
		return nil, errWire
	}
	message := framed[5:]
	if framed[0] == 0 {
		return message, nil
	}
	if encoding := r.Header.Get("Grpc-Encoding"); encoding != "gzip" {
		return nil, fmt.Errorf("the answer is compressed by %s, which was not asked for", web.Quote([]byte(encoding)))
	}
	zip, err := gzip.NewReader(bytes.NewReader(message))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(zip, maxMessage))
}
