// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/output/internal/probe"
)

// quiet is how long a check listens to a server that should be silent. One that speaks first, or closes, is the wrong server.
const quiet = 300 * time.Millisecond

// Check connects to each of the addresses, says hello, and closes the connection. It returns what it saw.
func (p *Pool) Check(ctx context.Context) (saw string, err error) {
	addresses := p.options.Addresses
	if p.options.Resolve != nil {
		if addresses, err = p.options.Resolve(ctx); err != nil {
			return "", err
		}
	}
	var seen []string
	var wrong []error
	for _, address := range addresses {
		how, err := p.check(ctx, address)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", address, err))
			continue
		}
		seen = append(seen, "connected to "+address+" "+how)
	}
	return strings.Join(seen, "; "), errors.Join(wrong...)
}

func (p *Pool) check(ctx context.Context, address string) (how string, err error) {
	if p.options.Hello == nil || p.options.watched {
		return p.listen(ctx, address)
	}
	c, err := p.dialOne(ctx, address)
	if err != nil {
		return "", err
	}
	defer p.Drop(c)
	return probe.Connection(c.Conn), nil
}

// listen checks a server whose protocol has no greeting.
func (p *Pool) listen(ctx context.Context, address string) (how string, err error) {
	c, err := p.connect(ctx, address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(quiet))
	var said [64]byte
	n, err := c.Read(said[:])
	var timeout net.Error
	switch {
	case n > 0:
		return "", fmt.Errorf("the server speaks first (%q): it expects another protocol, or a shared key", said[:n])
	case errors.As(err, &timeout) && timeout.Timeout():
		return probe.Connection(c.Conn), nil
	case errors.Is(err, io.EOF):
		return "", errors.New("the server closes the connection at once")
	}
	return "", err
}

// Check is Pool's.
func (w *Oneway) Check(ctx context.Context) (saw string, err error) { return w.pool.Check(ctx) }
