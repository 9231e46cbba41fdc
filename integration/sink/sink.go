// SPDX-License-Identifier: Apache-2.0

// Package sink is an HTTP server that takes records as JSON lines and can be as bad a backend as there are: it refuses
// connections, never answers, answers a byte a second, or resets within its answer.
package sink

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Mood is how the server behaves.
type Mood int

// The moods. A server that is Down has no listening socket, so that connections to it are refused.
const (
	Healthy Mood = iota
	Down
	Silent
	Dripping
	Resetting
)

func (m Mood) String() string {
	return [...]string{"healthy", "down", "silent", "dripping", "resetting"}[m]
}

// Sink is the server. What it has answered with 200 is in its file.
type Sink struct {
	// Path is the file: the bodies of the requests, one behind the other.
	Path string

	addr     string
	file     *os.File
	mu       sync.Mutex
	mood     Mood
	listener net.Listener
	server   *http.Server
}

// New starts a server on a free port of 127.0.0.1, in the given mood. It ends with the test.
func New(t testing.TB, mood Mood) *Sink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Sink{Path: filepath.Join(t.TempDir(), "taken.log"), addr: l.Addr().String()}
	l.Close()
	if s.file, err = os.OpenFile(s.Path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Be(t, mood)
	t.Cleanup(func() {
		s.Be(t, Down)
		s.file.Close()
	})
	return s
}

// URL is where records are posted to.
func (s *Sink) URL() string { return "http://" + s.addr + "/logs" }

// Settings are those of a plugin that sends here.
func (s *Sink) Settings() []string {
	return []string{"LOGGING_OUTPUT=http", "HTTP_URL=" + s.URL(), "HTTP_COMPRESSION=none"}
}

// Be changes the mood. What is under way in the old one is cut off.
func (s *Sink) Be(t testing.TB, mood Mood) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		s.server.Close()
		s.listener.Close() // itself, for the server does not know of it before its goroutine has run
		s.server = nil
	}
	s.mood = mood
	if mood == Down {
		return
	}
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.listener = l
	s.server = &http.Server{
		Handler:     s.handler(mood),
		BaseContext: func(net.Listener) context.Context { return context.Background() },
	}
	go func(server *http.Server) {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "sink:", err)
		}
	}(s.server)
}

func (s *Sink) handler(mood Mood) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch mood {
		case Silent:
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		case Dripping:
			io.Copy(io.Discard, r.Body)
			drip(r.Context(), w)
		case Resetting:
			reset(w)
		default:
			s.take(w, r)
		}
	})
}

func (s *Sink) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(bufio.NewReader(r.Body))
	if err != nil {
		return // cut off: nothing of it was taken
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.file.Write(body); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// drip answers with a body that never gets done.
func drip(ctx context.Context, w http.ResponseWriter) {
	w.Header().Set("Content-Length", "1000000")
	w.WriteHeader(http.StatusInternalServerError)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := w.Write([]byte("x")); err != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	}
}

// reset begins an answer and sends a TCP reset within it.
func reset(w http.ResponseWriter) {
	conn, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	buf.WriteString("HTTP/1.1 200 OK\r\nContent-Le")
	buf.Flush()
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}
