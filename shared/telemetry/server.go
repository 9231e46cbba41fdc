// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/remora-logs/remora/shared/escape"
)

// Server serves snapshots over HTTP.
type Server struct {
	http     *http.Server
	listener net.Listener
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Listen starts server, with TLS if it has a TLS configuration and the network is not unix. Only the process's user and the
// administrator may use a Unix socket; Listen replaces the file that a dead process left there.
func Listen(network, address string, server *http.Server) (*Server, error) {
	if network == "unix" {
		path, done := short(address)
		defer done()
		if conn, err := net.DialTimeout(network, path, time.Second); err == nil {
			_ = conn.Close()
		} else {
			_ = os.Remove(address) // no process answers there
		}
		address = path
	}
	l, err := (&net.ListenConfig{Control: OwnerOnly}).Listen(context.Background(), network, address)
	if err != nil {
		return nil, fmt.Errorf("failed to listen for status requests: %w", err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the path may be temporary; the next process replaces the socket
	}
	s := &Server{listener: l, http: server}
	go func() {
		if server.TLSConfig != nil && network != "unix" {
			_ = server.ServeTLS(l, "", "") // until Close
			return
		}
		_ = server.Serve(l)
	}()
	return s, nil
}

// Close stops serving.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return errors.Join(s.http.Shutdown(ctx), s.http.Close())
}

// OwnerOnly gives a Unix socket the mode 0600 before it has a name (unix(7): the mode of the file is that of the socket). It
// does nothing for other networks.
func OwnerOnly(network, _ string, conn syscall.RawConn) error {
	if network != "unix" {
		return nil
	}
	var err error
	return errors.Join(conn.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), 0o600) }), err)
}

// Handler returns a handler of /metrics, /healthz, /readyz and /status. take returns the current snapshot, and full the same
// with its rows.
//
// /healthz is 200 unless the snapshot reports a stalled loop. /readyz is 503 until everything that existed at the start is
// being collected, and while there is a Fault. An output that is down is not a Fault: taking a Pod out of service would not
// help.
func Handler(take, full func() Snapshot) http.Handler {
	mux := http.NewServeMux()
	exposition := new(Exposition)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if s := take(); s.Stalled != "" {
			http.Error(w, s.Stalled, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		s := take()
		s.writeReady(w)
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		s := take()
		exposition.Write(w, &s)
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		body, err := json.Marshal(full())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(append(escape.JSON(body), '\n')) // the client went away
	})
	return mux
}

// writeReady answers /readyz, with the reasons in the body.
func (s *Snapshot) writeReady(w http.ResponseWriter) {
	var body strings.Builder
	status := http.StatusOK
	switch {
	case len(s.Faults) > 0:
		status = http.StatusServiceUnavailable
		for _, f := range s.Faults {
			fmt.Fprintf(&body, "%s: %s\n", f.Component, escape.Text(f.Message))
		}
	case !s.Ready:
		status = http.StatusServiceUnavailable
		body.WriteString("starting\n")
	default:
		body.WriteString("ok\n")
	}
	for _, o := range s.Outputs {
		if o.Error != "" {
			fmt.Fprintf(&body, "output %s: %s\n", o.Name, escape.Text(o.Error))
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body.String()) // the client went away
}

// maxSocketPath is the maximum length of a socket's path (unix(7), sun_path).
const maxSocketPath = 107

// short returns a path to a socket whose own path is too long, as below an engine's data root. It leads through a descriptor
// of the socket's directory, which done closes.
func short(address string) (path string, done func()) {
	if len(address) <= maxSocketPath {
		return address, func() {}
	}
	dir, err := os.Open(filepath.Dir(address))
	if err != nil {
		return address, func() {} // using it will fail with the reason
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(address)), func() { _ = dir.Close() }
}
