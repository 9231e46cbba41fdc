// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
)

// dialect is what protocols over HTTP differ in.
type dialect struct {
	// entries reads a request. An error means that a real server would not have taken it.
	entries func(r *http.Request, body []byte) ([]entry, error)
	// about answers requests other than POST; nil takes none.
	about func(r *http.Request) (status int, kind, body string)
	// success answers a request of which everything was taken.
	success func(n int) (status int, kind string, body []byte)
	// items answers a request with a verdict on each record.
	items func(statuses []int) (kind string, body []byte)
	// forbid answers a request with records for a destination that takes none; nil is 403. partly says that the others of
	// the request are taken.
	forbid func(all []entry) (status int, kind string, body []byte)
	partly bool
	// anonymous says that the protocol has no credentials.
	anonymous bool
	// strict says that the protocol's answers have a form, so that a page of a proxy's is no success.
	strict bool
}

// serve speaks d on connections to s.
func (d *dialect) serve(s *server) {
	s.handle = func(c net.Conn) {
		in := bufio.NewReaderSize(c, 4096)
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if r.Method != http.MethodPost {
				status, kind, body := http.StatusMethodNotAllowed, "text/plain", "POST it"
				if d.about != nil {
					status, kind, body = d.about(r)
				}
				if !answer(c, status, kind, []byte(body)) {
					return
				}
				continue
			}
			if !d.post(s, c, r) {
				return
			}
		}
	}
}

// post treats a request with records as s behaves now, and reports whether the connection continues.
func (d *dialect) post(s *server, c net.Conn, r *http.Request) bool {
	how, changed := s.now()
	if how == resetting {
		_, _ = io.CopyN(io.Discard, r.Body, 1000)
		s.attempt()
		reset(c)
		return false
	}
	body, err := readBody(r)
	if err != nil {
		if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, net.ErrClosed) {
			s.t.Logf("reading a body: %v", err)
		}
		return false
	}
	s.mu.Lock()
	entries, err := d.entries(r, body)
	for i := range entries {
		err = errors.Join(err, entries[i].parseID(s.ledger.keys))
	}
	s.mu.Unlock()
	if err != nil {
		s.t.Errorf("a server would refuse this: %v", err)
	}
	s.attempt()
	_, password, _ := r.BasicAuth()
	if token := r.Header.Get("X-Token"); !d.anonymous && password != secret && token != secret && r.Header.Get("Authorization") != "Splunk "+secret &&
		!strings.HasPrefix(r.Header.Get("Authorization"), "LOG remora:") {
		s.t.Errorf("credentials are missing")
	}
	switch how {
	case mute:
		<-changed
		return false
	case garbage:
		if s.tried()%2 == 0 || !d.strict {
			_, _ = c.Write(bytes.Repeat([]byte("\x00\xfe garbage \r\n"), 100))
			return false
		}
		return answer(c, 200, "text/html", []byte("<html><body>Welcome to the hotel's network</body></html>"))
	case throttling:
		return answer(c, 429, "text/plain", []byte("slow down"), "Retry-After", "1")
	case failing:
		return answer(c, 500, "text/plain", []byte("oops"))
	case unavailable:
		return answer(c, 503, "text/plain", []byte("not now"))
	case unauthorized:
		return answer(c, 401, "text/plain", []byte("who are you?"), "WWW-Authenticate", "Basic")
	case tooLarge:
		if len(entries) > few {
			return answer(c, 413, "text/plain", []byte("too much"))
		}
	case forbidden:
		if !slices.ContainsFunc(entries, isEvil) {
			break
		}
		if d.partly {
			s.commit(slices.DeleteFunc(slices.Clone(entries), isEvil))
		}
		if d.forbid == nil {
			return answer(c, 403, "text/plain", []byte("not for you"))
		}
		status, kind, body := d.forbid(entries)
		return answer(c, status, kind, body)
	case half:
		kind, body := d.items(s.verdicts(entries))
		return answer(c, 200, kind, body)
	case forgetful:
		s.commit(entries)
		reset(c)
		return false
	case trickling:
		_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nX-Trickle: "))
		s.trickle(c, changed)
		return false
	case proxyPage:
		return answer(c, 400, "text/html", []byte("<html><title>400 The plain HTTP request was sent to HTTPS port</title></html>"))
	case redirecting:
		return answer(c, 302, "text/plain", []byte("elsewhere"), "Location", "https://elsewhere.example/ingest?secret="+secret)
	case zipping:
		if s.tried()%2 == 0 {
			return answer(c, 500, "text/plain", zipped([]byte("the disk is full")), "Content-Encoding", "gzip")
		}
		s.commit(entries)
		status, kind, content := d.success(len(entries))
		return answer(c, status, kind, zipped(content), "Content-Encoding", "gzip")
	case slow:
		time.Sleep(50 * time.Millisecond)
	}
	s.commit(entries)
	status, kind, content := d.success(len(entries))
	return answer(c, status, kind, content)
}

func readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength < 0 {
		return nil, errors.New("no Content-Length")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Content-Encoding") != "gzip" {
		return body, err
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func answer(c net.Conn, status int, kind string, body []byte, header ...string) bool {
	r := http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {kind}},
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
	}
	if status == http.StatusNoContent {
		r.Body, r.ContentLength = nil, 0
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r.Write(c) == nil
}

func zipped(content []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(content)
	_ = z.Close()
	return b.Bytes()
}

func scheme(ca string) string {
	if ca != "" {
		return "https://"
	}
	return "http://"
}

var elasticsearch = protocol{
	name: "elasticsearch",
	environ: func(address, ca, timeout string) map[string]string {
		return map[string]string{
			"ELASTICSEARCH_HOSTS": scheme(ca) + address, "ELASTICSEARCH_USER": "remora", "ELASTICSEARCH_PASSWORD": secret,
			"ELASTICSEARCH_TIMEOUT": timeout + "ms", "ELASTICSEARCH_CA": ca,
		}
	},
	start: (&dialect{
		strict:  true,
		entries: bulkEntries,
		about: func(*http.Request) (int, string, string) {
			return 200, "application/json", `{"name":"n","cluster_name":"c","version":{"number":"8.17.0"},"tagline":"You Know, for Search"}`
		},
		success: func(n int) (int, string, []byte) {
			return 200, "application/json", []byte(`{"errors":false,"items":[` + strings.TrimSuffix(strings.Repeat(`{"create":{"status":201}},`, n), ",") + `]}`)
		},
		partly: true,
		forbid: func(all []entry) (int, string, []byte) {
			var items []string
			for _, e := range all {
				if isEvil(e) {
					items = append(items, `{"create":{"status":403,"error":{"type":"security_exception","reason":"action is unauthorized"}}}`)
				} else {
					items = append(items, `{"create":{"status":201}}`)
				}
			}
			return 200, "application/json", []byte(`{"errors":true,"items":[` + strings.Join(items, ",") + `]}`)
		},
		items: func(statuses []int) (string, []byte) {
			var items []string
			for _, status := range statuses {
				if status == 201 {
					items = append(items, `{"create":{"status":201}}`)
				} else {
					kind := "some_exception"
					if status == 429 {
						kind = "es_rejected_execution_exception"
					}
					items = append(items, fmt.Sprintf(`{"create":{"status":%d,"error":{"type":%q,"reason":"because"}}}`, status, kind))
				}
			}
			return "application/json", []byte(`{"errors":true,"items":[` + strings.Join(items, ",") + `]}`)
		},
	}).serve,
}

// bulkEntries reads a request of the bulk API as strictly as Elasticsearch does.
func bulkEntries(r *http.Request, body []byte) (all []entry, err error) {
	if kind := r.Header.Get("Content-Type"); kind != "application/x-ndjson" {
		return nil, fmt.Errorf("Content-Type %q", kind)
	}
	if !strings.HasSuffix(r.URL.Path, "/_bulk") || !bytes.HasSuffix(body, []byte("\n")) {
		return nil, errors.New("no bulk request that ends with a newline")
	}
	rows := bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	if len(rows)%2 != 0 {
		return nil, errors.New("an action without a document")
	}
	for ; len(rows) > 0; rows = rows[2:] {
		var action map[string]struct {
			Index string `json:"_index"`
			ID    string `json:"_id"`
		}
		var document struct{ Message string }
		if err := errors.Join(json.Unmarshal(rows[0], &action), json.Unmarshal(rows[1], &document)); err != nil {
			return nil, fmt.Errorf("%w: %s %s", err, rows[0], rows[1])
		}
		create, ok := action["create"]
		if !ok || create.Index == "" && strings.Count(r.URL.Path, "/") < 2 {
			return nil, fmt.Errorf("no index to create in: %s", rows[0])
		}
		all = append(all, entry{id: create.ID, line: document.Message})
	}
	return all, nil
}

var jsonLines = protocol{
	name: "http",
	not:  []behaviour{half},
	environ: func(address, ca, timeout string) map[string]string {
		return map[string]string{
			"HTTP_URL": scheme(ca) + address + "/ingest", "HTTP_USER": "remora", "HTTP_PASSWORD": secret,
			"HTTP_TIMEOUT": timeout + "ms", "HTTP_CA": ca, "HTTP_COMPRESSION": "gzip",
		}
	},
	start: (&dialect{
		entries: func(r *http.Request, body []byte) (all []entry, err error) {
			for row := range bytes.Lines(body) {
				var record struct {
					Message   string
					Container string `json:"docker_container"`
					Offset    int64
				}
				if err := json.Unmarshal(row, &record); err != nil {
					return nil, err
				}
				id := (&lines{key: record.Container}).source().ID + "." + strconv.FormatInt(record.Offset, 36)
				all = append(all, entry{id: id, line: record.Message})
			}
			return all, nil
		},
		success: func(int) (int, string, []byte) { return 202, "text/plain", []byte("thanks") },
	}).serve,
}

// graylog is tried over HTTP, of its protocols the one with acknowledgements; it has no credentials.
var graylog = protocol{
	name: "graylog",
	not:  []behaviour{half, unauthorized},
	environ: func(address, ca, timeout string) map[string]string {
		host, port, _ := net.SplitHostPort(address)
		environ := map[string]string{
			"GRAYLOG_HOST": host, "GRAYLOG_PORT": port, "GRAYLOG_PROTOCOL": "http", "GRAYLOG_HTTP_BULK": "true", "GRAYLOG_TIMEOUT": timeout + "ms",
		}
		if ca != "" {
			environ["GRAYLOG_PROTOCOL"], environ["GRAYLOG_CA"] = "https", ca
		}
		return environ
	},
	start: (&dialect{
		anonymous: true,
		entries: func(r *http.Request, body []byte) (all []entry, err error) {
			if r.URL.Path != "/gelf" {
				return nil, errors.New(r.URL.Path)
			}
			for text := range bytes.SplitSeq(body, []byte("\n")) {
				var m struct {
					Message string `json:"short_message"`
					ID      string `json:"_remora"`
				}
				if err := json.Unmarshal(text, &m); err != nil {
					return nil, err
				}
				all = append(all, entry{id: m.ID, line: m.Message})
			}
			return all, nil
		},
		success: func(int) (int, string, []byte) { return 202, "text/plain", nil },
	}).serve,
}

var sls = protocol{
	name: "aliyun_sls",
	not:  []behaviour{half},
	environ: func(address, ca, timeout string) map[string]string {
		return map[string]string{
			"ALIYUNSLS_PROJECT": "p", "ALIYUNSLS_REGION_ENDPOINT": scheme(ca) + address, "ALIYUNSLS_ACCESS_KEY_ID": "remora",
			"ALIYUNSLS_ACCESS_KEY_SECRET": secret, "ALIYUNSLS_TIMEOUT": timeout + "ms", "ALIYUNSLS_CA": ca, "ALIYUNSLS_COMPRESSION": "none",
		}
	},
	start: (&dialect{
		about: func(*http.Request) (int, string, string) {
			return http.StatusNotFound, "application/json", `{"errorCode":"LogStoreNotExist","errorMessage":"logstore remora-check does not exist"}`
		},
		entries: func(r *http.Request, body []byte) (all []entry, err error) {
			if r.URL.Path != "/logstores/web/shards/lb" && r.URL.Path != "/logstores/evil/shards/lb" || !strings.HasPrefix(r.Host, "p.127.0.0.1:") {
				return nil, fmt.Errorf("%s %s", r.Host, r.URL.Path)
			}
			for _, log := range message(body)[1] {
				var e entry
				for _, pair := range message(log)[2] {
					switch m := message(pair); string(m[1][0]) {
					case "message":
						e.line = string(m[2][0])
					case "remora":
						e.id = string(m[2][0])
					}
				}
				all = append(all, e)
			}
			return all, nil
		},
		success: func(int) (int, string, []byte) { return 200, "text/plain", nil },
		forbid: func([]entry) (int, string, []byte) {
			return 404, "application/json", []byte(`{"errorCode":"LogStoreNotExist","errorMessage":"logstore evil does not exist"}`)
		},
	}).serve,
}

var splunk = protocol{
	name: "splunk",
	not:  []behaviour{half},
	environ: func(address, ca, timeout string) map[string]string {
		return map[string]string{
			"SPLUNK_URL": scheme(ca) + address, "SPLUNK_TOKEN": secret, "SPLUNK_TIMEOUT": timeout + "ms", "SPLUNK_CA": ca,
		}
	},
	start: (&dialect{
		strict: true,
		entries: func(r *http.Request, body []byte) (all []entry, err error) {
			if r.URL.Path != "/services/collector/event" {
				return nil, errors.New(r.URL.Path)
			}
			for d := json.NewDecoder(bytes.NewReader(body)); ; {
				var e struct {
					Time  json.Number
					Event json.RawMessage
				}
				if err := d.Decode(&e); errors.Is(err, io.EOF) {
					return all, nil
				} else if err != nil {
					return nil, err
				}
				got, err := identified(e.Event)
				if err != nil {
					return nil, err
				}
				all = append(all, got)
			}
		},
		success: func(int) (int, string, []byte) { return 200, "application/json", []byte(`{"text":"Success","code":0}`) },
	}).serve,
}

var loki = protocol{
	name: "loki",
	not:  []behaviour{half},
	environ: func(address, ca, timeout string) map[string]string {
		return map[string]string{
			"LOKI_URL": scheme(ca) + address, "LOKI_USER": "remora", "LOKI_PASSWORD": secret, "LOKI_TIMEOUT": timeout + "ms", "LOKI_CA": ca,
		}
	},
	start: (&dialect{
		entries: lokiEntries,
		partly:  true,
		forbid: func([]entry) (int, string, []byte) {
			return 429, "text/plain", []byte(`Maximum active stream limit exceeded when trying to create stream {host="node-1", target="evil"}, reduce the number of active streams`)
		},
		success: func(int) (int, string, []byte) { return 204, "text/plain", nil },
	}).serve,
}

func lokiEntries(r *http.Request, body []byte) (all []entry, err error) {
	if r.URL.Path != "/loki/api/v1/push" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		return nil, fmt.Errorf("%s of %s", r.URL.Path, r.Header.Get("Content-Type"))
	}
	raw, err := s2.Decode(nil, body)
	if err != nil {
		return nil, err
	}
	for _, stream := range message(raw)[1] {
		if labels := string(message(stream)[1][0]); labels != `{target="web", host="node-1"}` && labels != `{target="evil", host="node-1"}` {
			return nil, fmt.Errorf("labels %s", labels)
		}
		for _, e := range message(stream)[2] {
			got := entry{line: string(message(e)[2][0])}
			for _, pair := range message(e)[3] {
				if m := message(pair); string(m[1][0]) == "remora_id" {
					got.id = string(m[2][0])
				}
			}
			all = append(all, got)
		}
	}
	return all, nil
}

var otlp = protocol{
	name: "otlp",
	environ: func(address, ca, timeout string) map[string]string {
		return map[string]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT": scheme(ca) + address, "OTEL_EXPORTER_OTLP_HEADERS": "X-Token=" + url.PathEscape(secret),
			"OTEL_EXPORTER_OTLP_TIMEOUT": timeout, "OTEL_EXPORTER_OTLP_CERTIFICATE": ca, "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
		}
	},
	not: []behaviour{half}, // its partial success names no records; see the output's own tests
	start: (&dialect{
		strict:  true,
		entries: otlpEntries,
		success: func(int) (int, string, []byte) { return 200, "application/x-protobuf", nil },
	}).serve,
}

func otlpEntries(r *http.Request, body []byte) (all []entry, err error) {
	if r.URL.Path != "/v1/logs" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		return nil, fmt.Errorf("%s of %s", r.URL.Path, r.Header.Get("Content-Type"))
	}
	for _, resource := range message(body)[1] {
		for _, scope := range message(resource)[2] {
			for _, rec := range message(scope)[2] {
				m := message(rec)
				got := entry{line: string(message(m[5][0])[1][0])}
				for _, pair := range m[6] {
					if p := message(pair); string(p[1][0]) == "log.record.uid" {
						got.id = string(message(p[2][0])[1][0])
					}
				}
				all = append(all, got)
			}
		}
	}
	return all, nil
}

// message takes a protobuf message apart: field to what has a length in it, numbers in eight bytes. It is written for
// these tests, apart from what the outputs use.
func message(p []byte) map[uint64][][]byte {
	fields := map[uint64][][]byte{}
	for len(p) > 0 {
		tag, n := binary.Uvarint(p)
		p = p[n:]
		var value []byte
		switch tag & 7 {
		case 0:
			number, n := binary.Uvarint(p)
			value, p = binary.BigEndian.AppendUint64(nil, number), p[n:]
		case 1:
			value, p = p[:8], p[8:]
		case 5:
			value, p = p[:4], p[4:]
		case 2:
			length, n := binary.Uvarint(p)
			value, p = p[n:n+int(length)], p[n+int(length):]
		default:
			panic("wire type")
		}
		fields[tag>>3] = append(fields[tag>>3], value)
	}
	return fields
}
