// SPDX-License-Identifier: Apache-2.0

package syslog

import (
	"context"
	"io"

	"github.com/remora-logs/remora/shared/output/internal/wire"
	"github.com/remora-logs/remora/shared/record"
)

// udp sends each message as a datagram (RFC 5426).
type udp struct {
	*wire.Datagrams
	max int
}

func (u *udp) send(ctx context.Context, w *work, records []record.Record) (delivered int, err error) {
	return u.Send(ctx, len(records), func(to io.Writer, i int) error {
		_, err := to.Write(w.encode(&records[i], u.max))
		return err
	})
}

func (u *udp) check(ctx context.Context) (saw string, err error) { return u.Check(ctx) }
