// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"slices"
	"time"
)

// exchange is a protocol over TCP in which a client says something that holds records, and is answered.
type exchange struct {
	// hello treats what comes first on a connection; nil where nothing does. It reports whether the connection continues.
	// allowed says whether the client's credentials are accepted.
	hello func(c net.Conn, in *bufio.Reader, allowed bool) bool
	// read reads what holds records. state is handed to the answers.
	read func(in *bufio.Reader) (all []entry, state any, err error)
	// taken and failed are the answers; an empty one closes the connection.
	taken, failed func(state any) []byte
	// forbidden is the answer to what goes to a destination that takes nothing; nil closes the connection.
	forbidden func(state any) []byte
	// single says that each message is answered for itself while later ones are on their way, so that these may be taken.
	single bool
	// overload is the answer of a server that has too much to do; nil where the protocol has none.
	overload func(state any) []byte
}

// withoutHTTP is what can't happen in protocols that have no answers for it.
var withoutHTTP = append([]behaviour{throttling, tooLarge, half}, onlyHTTP...)

// serve speaks x on connections to s.
func (x *exchange) serve(s *server) {
	s.handle = func(c net.Conn) {
		in := bufio.NewReaderSize(c, 64<<10)
		if x.hello != nil {
			how, _ := s.now()
			if how == unauthorized {
				s.attempt()
			}
			if !x.hello(c, in, how != unauthorized) {
				return
			}
		}
		for x.one(s, c, in) {
		}
	}
}

// one treats one message, and reports whether the connection continues.
func (x *exchange) one(s *server, c net.Conn, in *bufio.Reader) bool {
	if _, err := in.Peek(1); err != nil {
		return false
	}
	how, changed := s.now()
	if how == resetting {
		_, _ = io.CopyN(io.Discard, in, 1000)
		s.attempt()
		reset(c)
		return false
	}
	all, state, err := x.read(in)
	if err != nil {
		return false
	}
	s.mu.Lock()
	for i := range all {
		if err := all[i].parseID(s.ledger.keys); err != nil {
			s.t.Error(err)
		}
	}
	s.mu.Unlock()
	if len(all) > 0 {
		s.attempt()
	}
	switch how {
	case mute:
		<-changed
		return false
	case garbage:
		_, _ = c.Write(bytes.Repeat([]byte("\x00\xfe garbage \r\n"), 100))
		return false
	case trickling:
		s.trickle(c, changed)
		return false
	case failing:
		x.refuses(s, all)
		return reply(c, x.failed(state))
	case unavailable:
		if x.overload == nil {
			return false
		}
		return reply(c, x.overload(state))
	case unauthorized:
		return false
	case forbidden:
		if slices.ContainsFunc(all, isEvil) {
			x.refuses(s, all)
			return x.forbidden != nil && reply(c, x.forbidden(state))
		}
	case forgetful:
		s.commit(all)
		reset(c)
		return false
	case slow:
		time.Sleep(50 * time.Millisecond)
	}
	s.commit(all)
	return reply(c, x.taken(state))
}

// refuses notes that messages are refused; the server may become well before it reads those behind them.
func (x *exchange) refuses(s *server, all []entry) {
	if !x.single {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range all {
		s.ledger.refused[e.id] = true
	}
}

func reply(c net.Conn, p []byte) bool {
	if len(p) == 0 {
		return false
	}
	_, err := c.Write(p)
	return err == nil
}
