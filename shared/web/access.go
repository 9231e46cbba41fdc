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

// Access controls who may see what at a TCP address. A client of a Unix socket may see everything: only the process's user can
// connect to it.
type Access struct {
	config.Listener
	// Shared says that not only the host's own users reach its loopback address, so that a token is needed there too.
	Shared bool
}

// These limits bound the cost of a client.
const (
	headerTime  = 5 * time.Second
	bodyTime    = 5 * time.Second // for the body of a request; only that of a login is used
	answerTime  = 30 * time.Second
	idleTime    = time.Minute
	maxHeader   = 16 << 10
	maxConns    = 128
	maxPassword = 4 << 10 // bytes in the body of a login
)

// Listen serves the page at an address.
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

// isOpen reports whether path needs neither a token nor a certificate.
func isOpen(path string) bool { return path == "/metrics" || path == "/healthz" || path == "/readyz" }

// socketPage serves the page on a Unix socket.
type socketPage struct{ *Page }

func (p *socketPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	p.serve(w, r)
}

// serve answers a client that may see everything.
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

// gate serves the page at a TCP address and decides what a client may see.
type gate struct {
	*Page
	loopback bool // the address is a loopback address
}

func newGate(p *Page, address string) *gate {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return &gate{p, err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())}
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	if r.ContentLength != 0 { // the server reads a body even if the handler does not
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) // if it fails, ReadTimeout applies
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

// knows reports whether the Host header of a request is an IP address, localhost, or a configured name. This prevents DNS
// rebinding: the page of another site whose name resolves to this address sends its own name.
func (a *Access) knows(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	if _, err := netip.ParseAddr(name); err == nil || strings.EqualFold(name, "localhost") {
		return true
	}
	return slices.ContainsFunc(a.Hosts, func(known string) bool { return strings.EqualFold(strings.TrimSpace(known), name) })
}

// token returns the present token, or "" if there is none or it is shorter than config.MinToken.
func (a *Access) token() string {
	if token := a.Token.Reveal(); len(token) >= config.MinToken {
		return token
	}
	return ""
}

// closed reports whether clients must authenticate but neither a token nor a client CA is configured.
func (a *Access) closed(loopback bool) bool {
	return a.needsProof(loopback) && a.token() == "" && a.ClientCA == ""
}

// needsProof reports whether a client must present a token or a certificate.
func (a *Access) needsProof(loopback bool) bool {
	return !loopback || a.Shared || a.Token.IsSet() || a.ClientCA != ""
}

// proves reports whether the client has presented a certificate, the token, or a valid session cookie.
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

// same compares a presented token with the configured one in constant time. It reports false if there is no token.
func same(shown, token string) bool {
	a, b := sha256.Sum256([]byte(shown)), sha256.Sum256([]byte(token))
	return token != "" && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// logIn checks the token in a form and sets a session cookie.
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
