// SPDX-License-Identifier: Apache-2.0

package syslog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"

	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/output/internal/wire"
	"github.com/remora-logs/remora/shared/record"
)

// RELP (github.com/rsyslog/librelp, doc/relp.html) has frames of "TXNR COMMAND LENGTH[ DATA]\n". Each of ours has its own
// number, and is answered by "rsp" with the same number, in order.
const (
	lastTxnr = 999_999_999 // followed by 1
	// window bounds the frames without an answer, as in librelp's own client.
	window = 128
	// maxResponse bounds an answer.
	maxResponse = 64 << 10
)

// relp sends messages over RELP, whose acknowledgement means that the server has the message in its queue.
type relp struct {
	pool *wire.Pool
	max  int
}

// session is the State of a connection.
type session struct{ txnr int }

func (s *session) next() int {
	if s.txnr++; s.txnr > lastTxnr {
		s.txnr = 1
	}
	return s.txnr
}

func newRELP(o wire.Options, most int) *relp {
	o.Hello = hello
	return &relp{pool: wire.NewPool(o), max: most}
}

// hello opens a session.
func hello(c *wire.Conn) error {
	s := new(session)
	c.State = s
	const offers = "relp_version=0\nrelp_software=remora\ncommands=syslog"
	if _, err := fmt.Fprintf(c, "%d open %d %s\n", s.next(), len(offers), offers); err != nil {
		return err
	}
	said, err := response(c, s.txnr)
	if err != nil {
		return err
	}
	if !strings.Contains(said, "commands=") || !strings.Contains(said, "syslog") {
		return errors.New("the server does not take the command syslog")
	}
	return nil
}

// errRefused is a message that the server answered with a code other than 200.
type errRefused struct{ said string }

func (e *errRefused) Error() string { return "the server did not take a message: " + e.said }

// response reads the answer to the frame with the number txnr and returns its data.
func response(c *wire.Conn, txnr int) (string, error) {
	for {
		number, command, data, err := readFrame(c)
		switch {
		case err != nil:
			return "", err
		case number == 0 && command == "serverclose":
			return "", errors.New("the server closes the session")
		case number == 0:
			continue // a hint
		case command != "rsp" || number != txnr:
			return "", fmt.Errorf("an answer %q to %d where one to %d was to come", command, number, txnr)
		}
		if !strings.HasPrefix(data, "200") {
			return "", &errRefused{web.Quote([]byte(data))}
		}
		return data, nil
	}
}

var errFrame = errors.New("the answer is not one of RELP")

func readFrame(c *wire.Conn) (number int, command, data string, err error) {
	if number, err = readNumber(c); err != nil {
		return 0, "", "", err
	}
	word, err := readWord(c)
	if err != nil {
		return 0, "", "", err
	}
	length, err := readNumber(c)
	if err != nil {
		return 0, "", "", err
	}
	if length > maxResponse {
		return 0, "", "", errFrame
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(c.In, body); err != nil {
		return 0, "", "", err
	}
	end, err := c.In.ReadByte()
	if err == nil && end != '\n' {
		err = errFrame
	}
	return number, word, string(body), err
}

// readWord reads a word and the space after it.
func readWord(c *wire.Conn) (string, error) {
	var word [32]byte
	for i := range word {
		b, err := c.In.ReadByte()
		switch {
		case err != nil:
			return "", err
		case b == ' ':
			return string(word[:i]), nil
		case b < ' ':
			return "", errFrame
		}
		word[i] = b
	}
	return "", errFrame
}

// readNumber reads a number and the space after it. It leaves a newline, which follows a length of 0, unread.
func readNumber(c *wire.Conn) (int, error) {
	n := 0
	for i := range 10 {
		b, err := c.In.ReadByte()
		switch {
		case err != nil:
			return 0, err
		case b >= '0' && b <= '9':
			n = 10*n + int(b-'0')
		case b == ' ' && i > 0:
			return n, nil
		case b == '\n' && i > 0:
			return n, c.In.UnreadByte()
		default:
			return 0, errFrame
		}
	}
	return 0, errFrame
}

func (r *relp) send(ctx context.Context, w *work, records []record.Record) (delivered int, err error) {
	c, err := r.pool.Get(ctx)
	if err != nil {
		return 0, err
	}
	s := c.State.(*session)
	first := s.txnr // number of the last answer
	sent := 0
	w.buffer = w.buffer[:0]
	for delivered < len(records) {
		for sent < len(records) && sent-delivered < window && len(w.buffer) < chunk {
			w.buffer = r.append(w.buffer, s.next(), w.encode(&records[sent], r.max))
			sent++
		}
		if len(w.buffer) > 0 {
			c.Extend()
			if _, err = c.Write(w.buffer); err != nil {
				break
			}
			w.buffer = w.buffer[:0]
		}
		// Half a window of answers makes room for the next messages.
		for range max(1, min(window/2, sent-delivered)) {
			if first++; first > lastTxnr {
				first = 1
			}
			if _, err = response(c, first); err != nil {
				break
			}
			delivered++
		}
		if err != nil {
			break
		}
	}
	if delivered < len(records) {
		r.pool.Drop(c)
		refused := errors.As(err, new(*errRefused)) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
		if err = c.Fail(err); refused && delivered == 0 { // the content of the first message may be the cause
			err = &web.Suspect{Cause: err}
		}
		return delivered, err
	}
	r.pool.Put(c)
	return delivered, nil
}

// append appends a message as a frame.
func (r *relp) append(dst []byte, txnr int, message []byte) []byte {
	dst = strconv.AppendInt(dst, int64(txnr), 10)
	dst = append(dst, " syslog "...)
	dst = strconv.AppendInt(dst, int64(len(message)), 10)
	dst = append(append(dst, ' '), message...)
	return append(dst, '\n')
}

func (r *relp) Close() error { return r.pool.Close() }

func (r *relp) check(ctx context.Context) (saw string, err error) { return r.pool.Check(ctx) }
