// SPDX-License-Identifier: Apache-2.0

// Package docker lists the containers of a Docker engine by its HTTP API. It needs five requests; a client library would
// bring eighteen modules for them.
package docker

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/remora-logs/remora/node/containers"
)

// The minor versions of the API, 1.24 to 1.56, that this package speaks. The fields that it reads exist since 1.24 and are
// still present in 1.56, unless noted otherwise.
const oldest, newest = 24, 56

const (
	// askTimeout bounds the requests for one container, listTimeout those of a List.
	askTimeout, listTimeout = 10 * time.Second, 25 * time.Second
	// maxAnswer bounds an answer in bytes; in a list, it bounds each container's entry.
	maxAnswer = 16 << 20
)

// engine is a client of a Docker engine.
type engine struct {
	http *http.Client
	base string // http://docker, or https://HOST:PORT
	host string // as given, for messages
	most int    // maxAnswer, which tests make smaller

	mu      sync.Mutex
	version string // /v1.NN, once it is negotiated
	root    string // the engine's data directory
}

// newEngine returns a client. host has the form of DOCKER_HOST; verify and certificates are DOCKER_TLS_VERIFY and
// DOCKER_CERT_PATH.
func newEngine(host string, verify bool, certificates string) (*engine, error) {
	e := &engine{host: host, base: "http://docker", most: maxAnswer}
	transport := &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: listTimeout}
	scheme, address, _ := strings.Cut(host, "://")
	switch scheme {
	case "unix":
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", address)
		}
	case "tcp", "http", "https":
		e.base = "http://" + address
		if verify || certificates != "" || scheme == "https" {
			e.base = "https://" + address
			var err error
			if transport.TLSClientConfig, err = tlsConfig(verify, certificates); err != nil {
				return nil, err
			}
		}
	default:
		return nil, fmt.Errorf("the engine's address %s begins with neither unix:// nor tcp://", host)
	}
	e.http = &http.Client{Transport: transport}
	return e, nil
}

// tlsConfig reads ca.pem, cert.pem and key.pem, as Docker's own client does.
func tlsConfig(verify bool, dir string) (*tls.Config, error) {
	c := &tls.Config{InsecureSkipVerify: !verify, MinVersion: tls.VersionTLS12} //nolint:gosec // as DOCKER_TLS_VERIFY says
	if dir == "" {
		return c, nil
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err == nil {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("DOCKER_CERT_PATH %s: ca.pem holds no certificate", dir)
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("DOCKER_CERT_PATH: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err == nil {
		c.Certificates = []tls.Certificate{pair}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("DOCKER_CERT_PATH: %w", err)
	}
	return c, nil
}

// negotiate returns the version of the API to speak, as /v1.NN. It asks the engine unless the version is known.
func (e *engine) negotiate(ctx context.Context) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.version != "" {
		return e.version, nil
	}
	var v struct{ APIVersion, MinAPIVersion string }
	if err := e.ask(ctx, "/version", &v); err != nil {
		return "", err
	}
	most, least := minor(v.APIVersion), minor(cmp.Or(v.MinAPIVersion, v.APIVersion))
	if most < oldest || least > newest {
		return "", fmt.Errorf("the engine at %s speaks version %s to %s of the API, this is one of 1.%d to 1.%d", e.host,
			v.MinAPIVersion, v.APIVersion, oldest, newest)
	}
	e.version = "/v1." + strconv.Itoa(min(most, newest))
	return e.version, nil
}

// minor returns NN of 1.NN, and 0 for anything else.
func minor(version string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(version, "1."))
	if err != nil || !strings.HasPrefix(version, "1.") {
		return 0
	}
	return n
}

// forget discards the version and the data root, since the engine may have been replaced. The next request negotiates again.
func (e *engine) forget() {
	e.mu.Lock()
	e.version, e.root = "", ""
	e.mu.Unlock()
}

// get requests path, without the version in front, and decodes the answer.
func (e *engine) get(ctx context.Context, path string, into any) error {
	version, err := e.negotiate(ctx)
	if err != nil {
		return err
	}
	err = e.ask(ctx, version+path, into)
	if err != nil && !errors.Is(err, containers.ErrGone) {
		e.forget()
	}
	return err
}

// ask requests path as it is and decodes the answer.
func (e *engine) ask(ctx context.Context, path string, into any) error {
	response, err := e.open(ctx, path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(io.LimitReader(response.Body, int64(e.most))).Decode(into); err != nil {
		return fmt.Errorf("answer of the engine at %s: %w", e.host, err)
	}
	return nil
}

// each calls one with every element of the array at path. If an element has more than e.most bytes, each calls large with the
// first e.most: a container can have labels of any size.
func (e *engine) each(ctx context.Context, path string, one func(element []byte) error, large func(beginning []byte)) error {
	version, err := e.negotiate(ctx)
	if err != nil {
		return err
	}
	response, err := e.open(ctx, version+path)
	if err != nil {
		e.forget()
		return err
	}
	defer response.Body.Close()
	if err := eachElement(bufio.NewReaderSize(response.Body, 64<<10), e.most, one, large); err != nil {
		e.forget()
		return fmt.Errorf("answer of the engine at %s: %w", e.host, err)
	}
	return nil
}

// eachElement splits an array of objects, or null, without decoding them. It calls one with an element of up to most bytes,
// and large with the first most bytes of a larger one. The bytes are valid only during the call.
func eachElement(r *bufio.Reader, most int, one func(element []byte) error, large func(beginning []byte)) error {
	if begin, _ := r.Peek(4); string(begin) == "null" {
		return nil
	}
	var element []byte
	depth, size, quoted, escaped := 0, 0, false, false
	for {
		c, err := r.ReadByte()
		if err != nil {
			return fmt.Errorf("a list that has no end: %w", err)
		}
		if depth == 0 && !strings.ContainsRune(" \r\n[", rune(c)) || depth == 1 && !strings.ContainsRune(" \r\n,{]", rune(c)) {
			return errors.New("it is no list of objects")
		}
		if depth > 1 || c == '{' {
			if size++; size <= most {
				element = append(element, c)
			}
		}
		switch {
		case quoted:
			quoted, escaped = escaped || c != '"', !escaped && c == '\\'
		case c == '"':
			quoted = true
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
			if depth == 0 {
				return nil
			}
			if depth > 1 {
				break
			}
			if size > most {
				large(element)
			} else if err := one(element); err != nil {
				return err
			}
			element, size = element[:0], 0
		}
	}
}

// open requests path and returns the response if its status is 200. The caller closes the body.
func (e *engine) open(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.base+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := e.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("the engine at %s does not answer: %w", e.host, err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	var refusal struct{ Message string }
	if json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&refusal) != nil || refusal.Message == "" {
		refusal.Message = response.Status
	}
	if response.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("%w: %s", containers.ErrGone, refusal.Message)
	}
	return nil, fmt.Errorf("the engine at %s refuses: %s", e.host, refusal.Message)
}

// dataRoot returns the engine's data directory, which daemon.json may move from /var/lib/docker.
func (e *engine) dataRoot(ctx context.Context) (string, error) {
	e.mu.Lock()
	root := e.root
	e.mu.Unlock()
	if root != "" {
		return root, nil
	}
	var info struct{ DockerRootDir string }
	if err := e.get(ctx, "/info", &info); err != nil {
		return "", err
	}
	e.mu.Lock()
	e.root = info.DockerRootDir
	e.mu.Unlock()
	return info.DockerRootDir, nil
}

// events calls subscribed once the engine sends events, and then each with the container's ID of every event, until the stream
// breaks.
func (e *engine) events(ctx context.Context, subscribed func(), each func(id string)) error {
	start, cancel := context.WithTimeout(ctx, askTimeout)
	version, err := e.negotiate(start)
	cancel()
	if err != nil {
		return err
	}
	filters := url.QueryEscape(`{"type":["container"],"event":["create","start","restart","die","destroy","rename"]}`)
	response, err := e.open(ctx, version+"/events?filters="+filters)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	subscribed()
	for decoder := json.NewDecoder(response.Body); ; {
		var event struct {
			ID    string `json:"id"`
			Actor struct{ ID string }
		}
		if err := decoder.Decode(&event); err != nil {
			e.forget()
			return fmt.Errorf("events of the engine at %s: %w", e.host, err)
		}
		if id := cmp.Or(event.Actor.ID, event.ID); id != "" {
			each(id)
		}
	}
}
