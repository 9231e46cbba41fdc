// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// behaviour is how a server treats requests.
type behaviour string

const (
	healthy      behaviour = "healthy"
	slow         behaviour = "slow"
	refusing     behaviour = "refuses connections"
	mute         behaviour = "accepts and never answers"
	resetting    behaviour = "resets within a request"
	garbage      behaviour = "answers garbage"
	throttling   behaviour = "429 with Retry-After"
	tooLarge     behaviour = "413"
	failing      behaviour = "500"
	unavailable  behaviour = "503"
	half         behaviour = "refuses half of the items"
	forgetful    behaviour = "commits and loses the answer"
	wrongCert    behaviour = "TLS with a wrong certificate"
	unauthorized behaviour = "credentials that stop working"
	restarting   behaviour = "restarts in between"
	hangingUp    behaviour = "closes each connection at once"
	trickling    behaviour = "answers without an end"
	proxyPage    behaviour = "400 with a page of a proxy"
	redirecting  behaviour = "302"
	zipping      behaviour = "compresses answers unasked"
	forbidden    behaviour = "takes nothing for one destination" // see forbidden_test.go
)

var behaviours = []behaviour{
	healthy, slow, refusing, mute, resetting, garbage, throttling, tooLarge, failing, unavailable, half, forgetful,
	wrongCert, unauthorized, restarting, hangingUp, trickling, proxyPage, redirecting, zipping,
}

// onlyHTTP is what can happen only where HTTP is spoken.
var onlyHTTP = []behaviour{proxyPage, redirecting, zipping}

// few is how many records a server takes at once when it says that a request is too large.
const few = 50

// server is what all fakes share: an address that can be listened on or not, a way to behave, and the ledger.
type server struct {
	t       *testing.T
	address string
	handle  func(net.Conn) // serves a connection

	mu       sync.Mutex
	how      behaviour
	changed  chan struct{} // closed when how changes
	listener net.Listener
	conns    map[net.Conn]struct{}
	tls      *tls.Config
	ledger   *ledger
	attempts int             // requests with records
	accepted int             // connections
	dead     map[string]bool // identities refused for good
	heard    *[][]byte       // what each connection said, where it is not nil
	handlers sync.WaitGroup
}

func newServer(t *testing.T, l *ledger) *server {
	s := &server{
		t: t, how: healthy, ledger: l, conns: map[net.Conn]struct{}{}, changed: make(chan struct{}), dead: map[string]bool{},
	}
	first, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.address = first.Addr().String()
	require.NoError(t, first.Close())
	t.Cleanup(s.close)
	return s
}

// open listens, as a server that has started does.
func (s *server) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return
	}
	l, err := net.Listen("tcp", s.address)
	if !assertNoError(s.t, err) {
		return
	}
	s.listener = l
	secure := s.tls
	s.handlers.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if secure != nil {
				c = tls.Server(c, secure)
			}
			s.mu.Lock()
			s.accepted++
			if s.listener != l || s.how == hangingUp {
				_ = c.Close()
			}
			s.conns[c] = struct{}{}
			if s.heard != nil {
				*s.heard = append(*s.heard, nil)
				c = &tapped{c, s, len(*s.heard) - 1}
			}
			s.mu.Unlock()
			s.handlers.Go(func() {
				s.handle(c)
				_ = c.Close()
				s.mu.Lock()
				if t, ok := c.(*tapped); ok {
					c = t.Conn
				}
				delete(s.conns, c)
				s.mu.Unlock()
			})
		}
	})
}

func assertNoError(t *testing.T, err error) bool {
	if err != nil {
		t.Error(err)
	}
	return err == nil
}

// shut stops listening and cuts all connections, as the death of a server does.
func (s *server) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return
	}
	_ = s.listener.Close()
	s.listener = nil
	for c := range s.conns {
		_ = c.Close()
	}
}

func (s *server) close() {
	s.behave(healthy)
	s.shut()
	s.handlers.Wait()
}

// behave changes how requests are treated from now on.
func (s *server) behave(how behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.how = how
	close(s.changed)
	s.changed = make(chan struct{})
}

// now is how to treat a request, and a channel that is closed when that changes.
func (s *server) now() (behaviour, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.how, s.changed
}

// attempt counts a request that holds records.
func (s *server) attempt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts++
}

func (s *server) tried() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attempts
}

// commit stores entries.
func (s *server) commit(entries []entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		s.ledger.take(e)
	}
}

// verdicts decides on each of entries when half of them are refused: by status, as Elasticsearch would give it.
func (s *server) verdicts(entries []entry) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger.shuffled = true
	all := make([]int, len(entries))
	for i, e := range entries {
		switch n := e.offset / width; {
		case n%50 == 49:
			all[i] = 400
			s.dead[e.id] = true
		case n%2 == 1:
			all[i] = 429
		default:
			all[i] = 201
			s.ledger.take(e)
		}
	}
	return all
}

// trickle writes bytes of an answer that never ends, until how changes.
func (s *server) trickle(c net.Conn, changed <-chan struct{}) {
	for {
		if _, err := c.Write([]byte("x")); err != nil {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-changed:
			return
		}
	}
}

func (s *server) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

func (s *server) missing(streams []*lines) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger.missing(streams) - len(s.dead)
}

// reset closes c so that the other side sees a reset and not an end.
func reset(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

// authority makes certificates for 127.0.0.1.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // PEM
}

func newAuthority(t *testing.T) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	a := &authority{cert: cert, key: key, file: filepath.Join(t.TempDir(), "ca.pem")}
	require.NoError(t, os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return a
}

func (a *authority) config(t *testing.T) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
