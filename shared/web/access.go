// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/remora-logs/remora/shared/config"
	"github.com/remora-logs/remora/shared/telemetry"
)

// Access is who may see what at an address of TCP. Whoever reaches a Unix socket may see all: only the process's user can.
type Access struct {
	config.Listener
	// Shared says that others than the machine's own users reach its loopback address, so that a token is needed there too.
	Shared bool
}

// serverLimits bound what a client can cost.
const (
	headerTime  = 5 * time.Second
	bodyTime    = 5 * time.Second // of a request; the only one that anybody reads is a login's
	answerTime  = 30 * time.Second
	idleTime    = time.Minute
	maxHeader   = 16 << 10
	maxConns    = 128
	maxPassword = 4 << 10 // of a request to log in
)

// Listen serves the page.
func (p *Page) Listen(network, address string) (*telemetry.Server, error) {
	var handler http.Handler = &socketPage{p}
	server := &http.Server{ReadHeaderTimeout: headerTime, ReadTimeout: answerTime, WriteTimeout: answerTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader}
	if network != "unix" {
		handler = newGate(p, address)
		conns := newConnections()
		server.ConnState, server.ConnContext = conns.note, conns.inContext
		var err error
		if server.TLSConfig, err = p.options.Access.tls(); err != nil {
			return nil, err
		}
	}
	server.Handler = http.NewCrossOriginProtection().Handler(handler)
	return telemetry.Listen(network, address, server)
}

// isOpen reports whether everyone who reaches an address may see what is at path.
func isOpen(path string) bool { return path == "/metrics" || path == "/healthz" || path == "/readyz" }

// socketPage serves on a Unix socket.
type socketPage struct{ *Page }

func (p *socketPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	p.serve(w, r)
}

// serve answers who may see everything.
func (p *Page) serve(w http.ResponseWriter, r *http.Request) {
	if isOpen(r.URL.Path) {
		p.open.ServeHTTP(w, r)
		return
	}
	if a, ok := assets[pageFile(r.URL.Path)]; ok && readOnly(r.Method) {
		a.serve(w, r, http.StatusOK)
		return
	}
	p.mux.ServeHTTP(w, r)
}

func readOnly(method string) bool { return method == http.MethodGet || method == http.MethodHead }

func pageFile(path string) string {
	if path == "/" {
		return "/index.html"
	}
	return path
}

// gate decides who sees what at an address of TCP.
type gate struct {
	*Page
	loopback bool // the address is one
}

func newGate(p *Page, address string) *gate {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return &gate{p, err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())}
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	if r.ContentLength != 0 { // also where nobody reads it, the server does before it answers
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) // if it can't, ReadTimeout holds
	}
	access := &g.options.Access
	switch {
	case isOpen(r.URL.Path):
		g.open.ServeHTTP(w, r)
	case !access.knows(r.Host):
		http.Error(w, "the name in this address is not localhost, and not one of REMORA_LISTEN_HOSTS", http.StatusForbidden)
	case access.closed(g.loopback):
		http.Error(w, "the status page, /status and tails are served here once REMORA_LISTEN_TOKEN_FILE, or REMORA_LISTEN_CLIENT_CA, is set", http.StatusForbidden)
	case !access.needsProof(g.loopback) || g.proves(r):
		proved(r.Context())
		if r.URL.Path == "/login" {
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
		if r.Method == http.MethodPost && r.URL.Path == "/logout" {
			http.SetCookie(w, g.sessions.over(r.TLS != nil))
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
		if access.needsProof(g.loopback) {
			r = r.WithContext(context.WithValue(r.Context(), proof{}, func() bool { return g.proves(r) }))
		}
		g.serve(w, r)
	case r.URL.Path == "/login" && r.Method == http.MethodPost:
		g.logIn(w, r)
	case r.URL.Path == "/" && readOnly(r.Method):
		assets["/login.html"].serve(w, r, http.StatusUnauthorized)
	case readOnly(r.Method) && assets[r.URL.Path].content != nil:
		assets[r.URL.Path].serve(w, r, http.StatusOK)
	default:
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "the token of REMORA_LISTEN_TOKEN_FILE is needed, as Authorization: Bearer TOKEN", http.StatusUnauthorized)
	}
}

// knows reports whether the Host header of a request is one that a page of somebody else, whose name leads here, can't send.
func (a *Access) knows(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	if _, err := netip.ParseAddr(name); err == nil || strings.EqualFold(name, "localhost") {
		return true
	}
	return slices.ContainsFunc(a.Hosts, func(known string) bool { return strings.EqualFold(strings.TrimSpace(known), name) })
}

// token returns the token as it is now; empty where there is none, or one that is too short to be one.
func (a *Access) token() string {
	if token := a.Token.Reveal(); len(token) >= config.MinToken {
		return token
	}
	return ""
}

// closed reports whether there is no way to prove who one is where that is needed.
func (a *Access) closed(loopback bool) bool {
	return a.needsProof(loopback) && a.token() == "" && a.ClientCA == ""
}

// needsProof reports whether a client has to show a token or a certificate.
func (a *Access) needsProof(loopback bool) bool {
	return !loopback || a.Shared || a.Token.IsSet() || a.ClientCA != ""
}

// proves reports whether the client has shown a certificate, the token, or the cookie that it got for that.
func (g *gate) proves(r *http.Request) bool {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return true
	}
	token := g.options.Access.token()
	if shown, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return same(shown, token)
	}
	for _, c := range r.CookiesNamed(cookieName(r.TLS != nil)) {
		if g.sessions.valid(c.Value, token, time.Now()) {
			return true
		}
	}
	return false
}

// same compares in a time that tells nothing about the token. No token is like any other.
func same(shown, token string) bool {
	a, b := sha256.Sum256([]byte(shown)), sha256.Sum256([]byte(token))
	return token != "" && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// logIn turns the token of a form into a cookie.
func (g *gate) logIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxPassword)
	token := g.options.Access.token()
	if err := r.ParseForm(); err != nil || !same(strings.TrimSpace(r.PostForm.Get("token")), token) {
		assets["/wrong.html"].serve(w, r, http.StatusUnauthorized)
		return
	}
	http.SetCookie(w, g.sessions.begin(token, r.TLS != nil, time.Now()))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
