// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/record"
)

// Output exports logs by OTLP.
type Output struct {
	url    *url.URL
	client *web.Client
	grpc   bool

	isolation web.Isolation
	encoders  sync.Pool // of *encoder
}

// Open returns the output. It sends nothing to the server.
func Open(c Config) (*Output, error) {
	u, err := c.url()
	if err != nil {
		return nil, err
	}
	client, err := c.client(u)
	if err != nil {
		return nil, err
	}
	return &Output{
		url: u, client: client, grpc: c.grpc(), encoders: sync.Pool{New: func() any { return newEncoder() }},
		isolation: web.Isolation{Destination: web.AppendSource},
	}, nil
}

// Write exports b.
func (o *Output) Write(ctx context.Context, b *record.Batch) error {
	if len(b.Records) == 0 {
		return ctx.Err()
	}
	return o.isolation.Write(ctx, b, o.export)
}

// largest bounds a request, before compression, that can be cut: gRPC servers accept this much by default. Fields are longer
// than in JSON, so the size of a batch is no exact estimate for this protocol.
const largest = 4 << 20

func (o *Output) contentType() string {
	if o.grpc {
		return "application/grpc"
	}
	return "application/x-protobuf"
}

func (o *Output) export(ctx context.Context, b *record.Batch) error {
	buffer := o.client.Buffer()
	defer o.client.Release(buffer)
	e := o.encoders.Get().(*encoder)
	buffer.Bytes = e.appendRequest(buffer.Bytes, b, time.Now().UnixNano())
	o.encoders.Put(e)
	if len(buffer.Bytes) > largest && len(b.Records) > 1 {
		return &output.TooLarge{Cause: fmt.Errorf("a request of %d bytes", len(buffer.Bytes))}
	}

	answer, end, err := o.client.Post(ctx, o.url, o.contentType(), buffer)
	defer end()
	if err != nil {
		return err
	}
	if answer.Status < 200 || answer.Status > 299 {
		return answer.Verdict(http.StatusBadRequest)
	}
	message, err := io.ReadAll(io.LimitReader(answer.Body, maxMessage))
	if err != nil {
		return answer.Errorf("reading the answer: %w", err)
	}
	if o.grpc {
		if err := o.status(answer); err != nil {
			return err
		}
		if message, err = unframe(answer, message); err != nil {
			return answer.Errorf("the answer is not one of gRPC: %w", err)
		}
	}
	answer.Discard()
	return partial(answer, message, len(b.Records))
}

// partial returns the verdict in a success of OTLP, which may say how many records were rejected, but not which. They must not
// be sent again (OTLP specification, "Partial Success"). So the verdict names as many records as were rejected, with a reason
// that says so.
func partial(r *web.Response, message []byte, n int) error {
	rejected, why, err := readPartial(message)
	if err != nil {
		return &web.Suspect{Cause: r.Errorf("the answer is not one of OTLP: %w", err)} // some firewalls refuse with 200
	}
	if rejected <= 0 {
		return nil
	}
	rejected = min(rejected, n)
	verdict := &output.Partial{Cause: r.Errorf("%d of %d records rejected: %s", rejected, n, why)}
	reason := fmt.Sprintf("one of %d records, of which the server rejected %d without saying which: %s", n, rejected, why)
	for i := range rejected {
		verdict.Refused = append(verdict.Refused, output.Refusal{Index: i, Reason: reason})
	}
	return verdict
}

var errWire = errors.New("malformed protobuf")

// readPartial decodes an ExportLogsServiceResponse: field 1, partial_success, with fields 1, rejected_log_records, and 2,
// error_message.
func readPartial(p []byte) (rejected int, why string, err error) {
	err = each(p, func(field int, _ uint64, body []byte) error {
		if field != 1 || body == nil {
			return nil
		}
		return each(body, func(field int, number uint64, text []byte) error {
			switch {
			case field == 1 && text == nil:
				rejected = int(min(number, 1<<31))
			case field == 2 && text != nil:
				why = web.Quote(text)
			}
			return nil
		})
	})
	return rejected, why, err
}

// each calls f for each field of a message, with its number or, for a field with a length, its bytes, which are then not nil.
func each(p []byte, f func(field int, number uint64, body []byte) error) error {
	for len(p) > 0 {
		tag, n := binary.Uvarint(p)
		if n <= 0 || tag>>3 == 0 {
			return errWire
		}
		p = p[n:]
		var number uint64
		var body []byte
		switch tag & 7 {
		case 0:
			if number, n = binary.Uvarint(p); n <= 0 {
				return errWire
			}
		case 1:
			n = 8
		case 5:
			n = 4
		case 2:
			length, k := binary.Uvarint(p)
			if k <= 0 || length > uint64(len(p)-k) {
				return errWire
			}
			n = k + int(length)
			body = p[k:n:n]
		default:
			return errWire
		}
		if n > len(p) {
			return errWire
		}
		p = p[n:]
		if err := f(int(tag>>3), number, body); err != nil {
			return err
		}
	}
	return nil
}

// AppendDestination implements output.Addressed.
func (o *Output) AppendDestination(dst []byte, r *record.Record) []byte {
	return web.AppendSource(dst, r)
}

// Close closes idle connections.
func (o *Output) Close() error { return o.client.Close() }

// Check sends an empty export, which the protocol allows.
func (o *Output) Check(ctx context.Context) (saw string, err error) {
	return o.url.Host + " takes an empty export", web.LetIn(o.export(ctx, new(record.Batch)))
}
