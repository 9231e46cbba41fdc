// SPDX-License-Identifier: Apache-2.0

// Package web serves the status page: an overview of all flows, the details of one container, and a live tail of records as
// they were delivered. The page is read-only.
package web

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/remora-logs/remora/shared/escape"
	"github.com/remora-logs/remora/shared/telemetry"
)

//go:embed static
var static embed.FS

// Options configure a Page.
type Options struct {
	// Take returns the present snapshot. Full returns it with its rows, and the declarations.
	Take func() telemetry.Snapshot
	Full func() (telemetry.Snapshot, []telemetry.Declaration)
	// Tails supplies the records of a live tail, Rates the counts of the last hour.
	Tails *Tails
	Rates *Rates
	// Profiles serves Go's profiles below /debug/pprof/.
	Profiles bool
	Access   Access
}

// Page serves the status page and its API.
type Page struct {
	options  Options
	open     http.Handler // /metrics, /healthz, /readyz
	mux      *http.ServeMux
	sessions *sessions
}

// New returns a page.
func New(o Options) *Page {
	p := &Page{options: o, mux: http.NewServeMux(), sessions: newSessions()}
	full := func() telemetry.Snapshot {
		s, _ := o.Full()
		return s
	}
	p.open = telemetry.Handler(o.Take, full)
	p.mux.Handle("GET /status", p.open)
	p.mux.HandleFunc("GET /api/overview", p.overview)
	p.mux.HandleFunc("GET /api/rates", p.rates)
	p.mux.HandleFunc("GET /api/container", p.container)
	p.mux.HandleFunc("GET /api/tail", p.tail)
	if o.Profiles {
		p.mux.HandleFunc("GET /debug/pprof/", withProfileTime(pprof.Index))
		p.mux.HandleFunc("GET /debug/pprof/profile", withProfileTime(pprof.Profile))
		p.mux.HandleFunc("GET /debug/pprof/trace", withProfileTime(pprof.Trace))
	}
	return p
}

// profileTime is how long a profile may take.
const profileTime = 5 * time.Minute

// withProfileTime gives a handler profileTime to answer, more than the server's default.
func withProfileTime(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		to, until := http.NewResponseController(w), time.Now().Add(profileTime)
		// If these fail, a long answer is cut off. A read deadline that passes ends the request as if the client had gone away.
		_, _ = to.SetReadDeadline(until), to.SetWriteDeadline(until)
		h(w, r)
	}
}

// policy is the Content-Security-Policy of every answer: nothing from other origins, and no inline scripts.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

func protect(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// asset is a file of the page.
type asset struct {
	content []byte
	kind    string
	tag     string
}

var kinds = map[string]string{".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}

// assets holds the files by URL path. / serves index.html, or login.html if the client must log in first.
var assets = func() map[string]asset {
	all := map[string]asset{}
	entries, _ := fs.ReadDir(static, "static") // reading an embedded directory does not fail
	for _, e := range entries {
		content, _ := static.ReadFile("static/" + e.Name())
		sum := sha256.Sum256(content)
		for end, kind := range kinds {
			if name := e.Name(); len(name) > len(end) && name[len(name)-len(end):] == end {
				all["/"+name] = asset{content, kind, `"` + base64.RawURLEncoding.EncodeToString(sum[:9]) + `"`}
			}
		}
	}
	return all
}()

// serve answers with a file of the page. A file holds nothing about the host, so that it may be cached.
func (a asset) serve(w http.ResponseWriter, r *http.Request, status int) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	if status == http.StatusOK {
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", a.tag)
		if r.Header.Get("If-None-Match") == a.tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(a.content) // fails if the client is gone
}

func writeJSON(w http.ResponseWriter, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(escape.JSON(body)) // fails if the client is gone
}
