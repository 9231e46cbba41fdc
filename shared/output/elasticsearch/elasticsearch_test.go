// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/record"
)

func open(t testing.TB, environ ...string) *Output {
	t.Helper()
	vars := map[string]string{}
	for i := 0; i < len(environ); i += 2 {
		vars[environ[i]] = environ[i+1]
	}
	var c Config
	require.NoError(t, settings.Load(vars, &c))
	o, err := Open(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	return o
}

// fake answers as a version of Elasticsearch does, from recorded answers in testdata, and is strict where that version
// is: Content-Type, the final newline, _type, the size of a request.
type fake struct {
	version string // directory in testdata
	typed   bool   // wants _type; the others refuse it
	product bool   // sends X-Elastic-Product
	limit   int    // http.max_content_length
	bulk    func(ids []string) (status int, body string)
	indices []string
	ids     []string
	paths   []string
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.product {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	if r.Method == http.MethodGet && r.URL.Path == "/" {
		_, _ = w.Write(f.recorded("root.json"))
		return
	}
	body, _ := io.ReadAll(r.Body)
	switch {
	case len(body) > f.limit:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	case !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-ndjson") &&
		!strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"):
		w.WriteHeader(http.StatusNotAcceptable)
		_, _ = w.Write(f.recorded("content_type.json"))
		return
	case !bytes.HasSuffix(body, []byte("\n")):
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(f.recorded("newline.json"))
		return
	}
	ids, ok := f.actions(r.URL.Path, body)
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(f.recorded("type.json"))
		return
	}
	f.paths = append(f.paths, r.URL.Path)
	status, answer := f.bulk(ids)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer)
}

func (f *fake) recorded(name string) []byte {
	content, err := os.ReadFile(filepath.Join("testdata", f.version, name))
	if err != nil {
		panic(err)
	}
	return content
}

// actions are the identities in a request; ok says that types are where the version wants them, and only there.
func (f *fake) actions(path string, body []byte) (ids []string, ok bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, row := range strings.Split(strings.TrimSuffix(string(body), "\n"), "\n") {
		if i%2 == 1 {
			continue
		}
		var action map[string]struct {
			Index string  `json:"_index"`
			Type  *string `json:"_type"`
			ID    string  `json:"_id"`
		}
		if json.Unmarshal([]byte(row), &action) != nil {
			return nil, false
		}
		create := action["create"]
		if typed := create.Type != nil || len(parts) == 3; typed != f.typed {
			return nil, false
		}
		if len(parts) > 1 {
			create.Index = parts[0]
		}
		f.indices, f.ids = append(f.indices, create.Index), append(f.ids, create.ID)
		ids = append(ids, create.ID)
	}
	return ids, true
}

var versions = []fake{
	{version: "es-6.8", typed: true}, {version: "es-7.17", product: true}, {version: "es-8.17", product: true},
	{version: "es-9.0", product: true}, {version: "opensearch-2.19"},
}

func each(t *testing.T, f func(t *testing.T, f *fake, o *Output)) {
	for _, v := range versions {
		t.Run(v.version, func(t *testing.T) {
			v.limit = 100 << 20
			v.bulk = func(ids []string) (int, string) { return 200, string(v.recorded("created.json")) }
			server := httptest.NewServer(&v)
			defer server.Close()
			f(t, &v, open(t, "ELASTICSEARCH_HOSTS", server.URL))
		})
	}
}

func TestEveryVersionTakesOurRequests(t *testing.T) {
	each(t, func(t *testing.T, f *fake, o *Output) {
		require.NoError(t, o.Write(t.Context(), sample.Batch(0, 2, sample.Source(1))))
		require.Equal(t, []string{"web-2025.11.21", "web-2025.11.21"}, f.indices)
		require.Len(t, f.paths, 1)
		require.Contains(t, f.paths[0], "/web-2025.11.21/", "an index that all share is in the URL")

		other := record.NewSource("x", "d", "stdout", "Other/Name", nil, nil)
		b := sample.Batch(0, 1, sample.Source(1), other)
		require.NoError(t, o.Write(t.Context(), b))
		require.Equal(t, []string{"web-2025.11.21", "other_name-2025.11.21"}, f.indices[2:])
		require.Equal(t, string(b.Records[1].AppendID(nil)), f.ids[3])
	})
}

// The recorded answers: the first item was stored before, the second is refused for its mapping, the third is to be sent
// again because a queue was full.
func TestVerdictsByItem(t *testing.T) {
	each(t, func(t *testing.T, f *fake, o *Output) {
		f.bulk = func([]string) (int, string) { return 200, string(f.recorded("mixed.json")) }
		err := o.Write(t.Context(), sample.Batch(0, 4, sample.Source(1)))
		var partial *output.Partial
		require.ErrorAs(t, err, &partial)
		require.Equal(t, []int{2}, partial.Retry)
		require.Len(t, partial.Refused, 1)
		require.Equal(t, 1, partial.Refused[0].Index)
		require.Contains(t, partial.Refused[0].Reason, "parsing_exception")
	})
}

func TestVerdictOnTheWholeRequest(t *testing.T) {
	each(t, func(t *testing.T, f *fake, o *Output) {
		f.limit = 1000
		var tooLarge *output.TooLarge
		require.ErrorAs(t, o.Write(t.Context(), sample.Batch(0, 100, sample.Source(1))), &tooLarge)
		require.NoError(t, o.Write(t.Context(), sample.Batch(0, 1, sample.Source(1))))
	})
}

func TestStatuses(t *testing.T) {
	for _, test := range []struct {
		status int
		body   string
		want   any
	}{
		{429, "busy", new(*output.Throttled)},
		{400, `{"error":{"type":"illegal_argument_exception","reason":"x"},"status":400}`, new(*output.Refused)},
		{400, "<html>proxy says no</html>", nil},
		{401, `{"error":{"type":"security_exception"}}`, nil},
		{500, "", nil}, {301, "", nil},
		{200, "<html>", nil}, {200, `{"items":[]}`, nil}, {200, `{"errors":true,"items":[]}`, nil}, {200, `{"errors":fa`, nil},
	} {
		f := &fake{version: "es-8.17", limit: 1 << 20, bulk: func([]string) (int, string) { return test.status, test.body }}
		server := httptest.NewServer(f)
		err := open(t, "ELASTICSEARCH_HOSTS", server.URL).Write(t.Context(), sample.Batch(0, 1, sample.Source(1)))
		server.Close()
		require.Error(t, err, test.body)
		var refused *output.Refused
		if test.want != nil {
			require.ErrorAs(t, err, test.want)
		} else {
			require.NotErrorAs(t, err, &refused, "nothing is given up for what is no fault of the record")
		}
	}
}

func TestAnItemsErrorIsTheRecordsItsIndexsOrTheClusters(t *testing.T) {
	for _, test := range []struct {
		status       int
		kind, reason string
		want         class
	}{
		{400, "mapper_parsing_exception", "failed to parse field [a]", refused},
		{400, "document_parsing_exception", "[1:2] failed to parse", refused},
		{400, "strict_dynamic_mapping_exception", "mapping set to strict", refused},
		{400, "illegal_argument_exception", "Document contains at least one immense term in field=\"m\"", refused},
		{413, "too_large", "", refused},
		{401, "security_exception", "missing authentication credentials", blocked},
		{403, "security_exception", "action [indices:data/write/bulk[s]] is unauthorized for API key", blocked},
		{403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/8/index write (api)];", blocked},
		{429, "cluster_block_exception", "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark];", blocked},
		{404, "index_not_found_exception", "no such index [x] and [action.auto_create_index] is [false]", blocked},
		{400, "index_closed_exception", "closed", blocked},
		{400, "illegal_argument_exception", "no write index is defined for alias [logs]. The write index may be explicitly disabled", blocked},
		{400, "illegal_argument_exception", "pipeline with id [geo] does not exist", blocked},
		{400, "illegal_argument_exception", "only write ops with an op_type of create are allowed in data streams", blocked},
		{400, "illegal_argument_exception", "Rejecting mapping update to [x] as the final mapping would have more than 1 type: [_doc, doc]", blocked},
		{400, "validation_exception", "this action would add [2] shards, but this cluster currently has [1000]/[1000] maximum normal shards open", blocked},
		{400, "invalid_index_name_exception", "Invalid index name [.], must not be '.' or '..'", blocked},
		{429, "index_rate_limit", "this index has a limit", blocked},
		{429, "es_rejected_execution_exception", "rejected execution", busy},
		{429, "circuit_breaking_exception", "Data too large", busy},
		{503, "unavailable_shards_exception", "primary shard is not active", blocked},
		{400, "illegal_argument_exception", "Alias [logs] has more than one index associated with it [[a, b]], can't execute a single index op", blocked},
		{400, "illegal_argument_exception", "Validation Failed: 1: this action would add [2] total shards, but this cluster currently has [1000]/[1000] maximum shards open;", blocked},
		{400, "", "pipeline with id [geo] does not exist", blocked},

		// A record's names and values are no verdict on its index, wherever they are quoted.
		{400, "document_parsing_exception", "[1:2] failed to parse field [status] of type [long]. Preview of field's value: 'is an alias'", refused},
		{400, "mapper_parsing_exception", "no write index is defined for alias [x]", refused},
		{400, "illegal_argument_exception", "mapper [is an alias] cannot be changed from type [long] to [text]", refused},
		{400, "illegal_argument_exception", "Provided Grok expressions do not match field value: [no matching index template, pipeline with id [x]]", refused},
		{500, "fail_processor_exception", "no write index is defined for alias [x]", refused},
		{400, "resource_already_exists_exception", "index already exists", busy},
		{408, "timeout", "", busy}, {500, "exception", "", busy},
	} {
		require.Equal(t, test.want, classify(test.status, test.kind, test.reason), "%d %s: %s", test.status, test.kind, test.reason)
	}
}

// What caused an error quotes the record, and decides nothing.
func TestACauseIsNoVerdict(t *testing.T) {
	j := judgement{n: 2, destination: func(int) string { return "index x" }}
	for i, text := range []string{
		`{"type":"mapper_parsing_exception","reason":"failed to parse","caused_by":{"type":"illegal_argument_exception","reason":"no write index is defined for alias [x]"}}`,
		`"illegal value 'pipeline with id [x] does not exist'"`,
	} {
		j.add(i, &item{Status: 400, Error: json.RawMessage(text)})
	}
	require.Empty(t, j.partial.Blocked)
	require.Len(t, j.partial.Refused, 2)
}

// What is sent again is told by its own reason, not by that of a record beside it.
func TestTheCauseIsThatOfWhatIsSentAgain(t *testing.T) {
	j := judgement{n: 3, destination: func(int) string { return "index x" }}
	for i, of := range []struct {
		status int
		text   string
	}{
		{400, `{"type":"illegal_argument_exception","reason":"pipeline with id [orders] does not exist"}`},
		{429, `{"type":"es_rejected_execution_exception","reason":"rejected"}`},
		{403, `{"type":"cluster_block_exception","reason":"blocked"}`},
	} {
		j.add(i, &item{Status: of.status, Error: json.RawMessage(of.text)})
	}
	require.Equal(t, []int{1}, j.partial.Retry)
	require.ErrorContains(t, j.partial.Cause, "es_rejected_execution_exception")
}

// An index that is not available is waited for briefly, for the request holds up others; an imitator is not asked, nor is a
// time in the host's URL overruled.
func TestAnUnavailableIndexIsWaitedForBriefly(t *testing.T) {
	for raw, want := range map[string]string{"": "timeout=5s", "pretty": "pretty&timeout=5s", "timeout=1m": "timeout=1m"} {
		u := bulk(&web.Node{URL: &url.URL{Scheme: "http", Host: "es:9200", RawQuery: raw}}, "web", "", &server{named: true})
		require.Equal(t, "/web/_bulk", u.Path)
		require.Equal(t, want+"&"+answerFilter, u.RawQuery)
	}
	require.Equal(t, answerFilter, bulk(&web.Node{URL: &url.URL{}}, "", "", &server{}).RawQuery)
}

// One closed index among others blocks its own records, and is named as it is for records to come.
func TestABlockedIndexIsNamed(t *testing.T) {
	f := &fake{version: "es-8.17", limit: 1 << 20, bulk: func(ids []string) (int, string) {
		items := make([]string, len(ids))
		for i := range ids {
			items[i] = `{"create":{"status":201}}`
			if i%2 == 1 {
				items[i] = `{"create":{"status":403,"error":{"type":"cluster_block_exception","reason":"index [evil] blocked"}}}`
			}
		}
		return 200, `{"errors":true,"items":[` + strings.Join(items, ",") + `]}`
	}}
	server := httptest.NewServer(f)
	defer server.Close()
	for _, size := range []string{"0", "3"} {
		o := open(t, "ELASTICSEARCH_HOSTS", server.URL, "ELASTICSEARCH_BULK_MAX_SIZE", size)
		b := sample.Batch(0, 4, sample.Source(1), record.NewSource("x", "d", "stdout", "evil", nil, nil))
		var partial *output.Partial
		require.ErrorAs(t, o.Write(t.Context(), b), &partial)
		require.Empty(t, partial.Retry)
		require.Empty(t, partial.Refused)
		require.NotEmpty(t, partial.Blocked)
		for _, blockage := range partial.Blocked {
			require.Equal(t, string(o.AppendDestination(nil, &b.Records[blockage.Index])), blockage.Destination)
			require.Contains(t, blockage.Reason, "403 cluster_block_exception")
		}
	}
}

// An error of the whole request is about the index in its URL alone.
func TestTheIndexInTheURLIsBlockedAlone(t *testing.T) {
	for body, want := range map[string]bool{
		`{"error":{"type":"index_closed_exception","reason":"closed"},"status":400}`:                                  true,
		`{"error":{"type":"invalid_index_name_exception","reason":"Invalid index name"},"status":400}`:                true,
		`{"error":{"type":"security_exception","reason":"unauthorized for indices [web]"},"status":403}`:              true,
		`{"error":{"type":"illegal_argument_exception","reason":"pipeline with id [p] does not exist"},"status":400}`: true,
		`{"error":{"type":"parse_exception","reason":"request body is required"},"status":400}`:                       false,
		`<html>403 Forbidden</html>`: false,
	} {
		status := 403
		if strings.Contains(body, "400") {
			status = 400
		}
		f := &fake{version: "es-8.17", limit: 1 << 20, bulk: func([]string) (int, string) { return status, body }}
		server := httptest.NewServer(f)
		o := open(t, "ELASTICSEARCH_HOSTS", server.URL)
		b := sample.Batch(0, 2, sample.Source(1))
		err := o.Write(t.Context(), b)
		server.Close()
		var all *output.Partial
		require.Equal(t, want, errors.As(err, &all), "%s: %v", body, err)
		if want {
			require.Len(t, all.Blocked, 2)
			require.Equal(t, string(o.AppendDestination(nil, &b.Records[0])), all.Blocked[0].Destination)
			require.Contains(t, all.Blocked[0].Destination, "index web-2025.11.21, log ")
		}
	}
}

// A firewall in front of Elasticsearch objects to what one container writes: its log waits, and not the others, though they
// share an index.
func TestALogThatAFirewallObjectsToWaitsAlone(t *testing.T) {
	for _, status := range []int{403, 400, 500, 200} {
		stored := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			switch {
			case r.Method == http.MethodGet:
				_, _ = io.WriteString(w, `{"version":{"number":"8.17.0"},"tagline":"You Know, for Search"}`)
			case bytes.Contains(body, []byte("UNION SELECT")):
				w.Header().Set("Content-Type", "text/html")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, "<html>The request was blocked. Support ID: 1</html>")
			default:
				stored += bytes.Count(body, []byte("\n")) / 2
				_, _ = io.WriteString(w, `{"errors":false}`)
			}
		}))
		o := open(t, "ELASTICSEARCH_HOSTS", server.URL)
		b := sample.Batch(0, 2, sample.Source(1), record.NewSource("k", "d", "stdout", "web", nil, nil))
		evil := slices.IndexFunc(b.Records, func(r record.Record) bool { return r.Source.Stream == "k" })
		b.Records[evil].Line = []byte("GET /?id=1 UNION SELECT")
		require.ErrorAs(t, o.Write(t.Context(), b), new(*web.Suspect))
		var partial *output.Partial
		require.ErrorAs(t, o.Write(t.Context(), b), &partial, "%d", status)
		server.Close()
		require.Empty(t, partial.Retry)
		require.Empty(t, partial.Refused)
		require.Len(t, partial.Blocked, 2)
		for _, blockage := range partial.Blocked {
			require.Equal(t, "k", b.Records[blockage.Index].Source.Stream)
			require.Equal(t, string(o.AppendDestination(nil, &b.Records[blockage.Index])), blockage.Destination)
		}
		require.Equal(t, 2, stored)
	}
}

// A host that can't be reached rests, and another takes over within the same call.
func TestDeadHostIsPassedOver(t *testing.T) {
	f := &fake{version: "es-8.17", limit: 1 << 20}
	f.bulk = func(ids []string) (int, string) { return 200, `{"errors":false}` }
	server := httptest.NewServer(f)
	defer server.Close()
	o := open(t, "ELASTICSEARCH_HOSTS", "http://127.0.0.1:1,"+server.URL+",127.0.0.1:2")
	for i := range 20 {
		require.NoError(t, o.Write(t.Context(), sample.Batch(i, i+1, sample.Source(1))))
	}
	require.Len(t, f.ids, 20)
}

func TestBulkMaxSize(t *testing.T) {
	f := &fake{version: "es-8.17", limit: 1 << 20}
	f.bulk = func(ids []string) (int, string) {
		switch len(f.paths) {
		case 2:
			return 200, `{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":429,"error":{}}},{"create":{"status":400,"error":{"type":"x"}}}]}`
		case 3:
			return 500, ""
		}
		return 200, `{"errors":false}`
	}
	server := httptest.NewServer(f)
	defer server.Close()
	o := open(t, "ELASTICSEARCH_HOSTS", server.URL, "ELASTICSEARCH_BULK_MAX_SIZE", "3")
	err := o.Write(t.Context(), sample.Batch(0, 10, sample.Source(1)))
	var partial *output.Partial
	require.ErrorAs(t, err, &partial)
	require.Equal(t, []int{4, 6, 7, 8, 9}, partial.Retry)
	require.Equal(t, 5, partial.Refused[0].Index)
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 10, sample.Source(1))))
	require.Len(t, f.paths, 3+4)

	f.bulk = func([]string) (int, string) {
		return 400, `{"error":{"type":"index_closed_exception","reason":"closed"},"status":400}`
	}
	err = o.Write(t.Context(), sample.Batch(0, 10, sample.Source(1)))
	require.ErrorAs(t, err, &partial)
	require.Len(t, partial.Blocked, 10)
	require.Equal(t, 9, partial.Blocked[9].Index)
}

func TestIndexNames(t *testing.T) {
	s := record.NewSource("k", "d", "stdout", "App", []record.Tag{{Key: "index", Value: "_Special:1"}}, nil)
	plain := record.NewSource("k", "d", "stdout", "app", nil, nil)
	at := time.Date(2025, 11, 21, 23, 59, 59, 0, time.FixedZone("", 3600)).UnixNano()
	for _, test := range []struct {
		pattern string
		source  *record.Source
		want    string
	}{
		{"{target}-{yyyy.MM.dd}", plain, "app-2025.11.21"},
		{"{target}-%{+yyyy.MM.dd}", plain, "app-2025.11.21"},
		{"{target}-{yyyy.MM.dd}", s, "special_1-2025.11.21"},
		{"logs-{yyyy}-{MM}-{HH}", plain, "logs-2025-11-22"},
		{"logs-{target}-default", plain, "logs-app-default"},
	} {
		p, err := parseIndex(test.pattern, time.UTC)
		require.NoError(t, err)
		require.Equal(t, test.want, p.name(test.source, at))
	}
	for _, bad := range []string{"{", "{tagret}", "{target}-{DD}", "{}"} {
		require.ErrorContains(t, settings.Load(map[string]string{"ELASTICSEARCH_HOST": "h", "ELASTICSEARCH_INDEX": bad}, new(Config)), "ELASTICSEARCH_INDEX")
	}
	require.Equal(t, "filebeat-{yyyy.MM.dd}", (&Config{Index: "filebeat"}).indexPattern(), "as log-pilot reads it")
}

func TestIndexChangesAtMidnight(t *testing.T) {
	o := open(t, "ELASTICSEARCH_HOST", "h")
	b := sample.Batch(0, 2, sample.Source(1))
	b.Records[0].Time = time.Date(2025, 11, 21, 23, 59, 59, 999, time.UTC).UnixNano()
	b.Records[1].Time = b.Records[0].Time + int64(time.Second)
	require.Empty(t, common(&o.pattern, b))
	var to web.Buffer
	o.encode(&to, b, false, nil)
	require.Contains(t, string(to.Bytes), "web-2025.11.21")
	require.Contains(t, string(to.Bytes), "web-2025.11.22")
}

func TestCredentials(t *testing.T) {
	got := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
		fmt.Fprint(w, `{"errors":false}`)
	}))
	defer server.Close()
	withUser := strings.Replace(server.URL, "://", "://me:pass@", 1)
	for _, test := range [][]string{
		{web.Basic("me", "pass"), "ELASTICSEARCH_HOSTS", server.URL, "ELASTICSEARCH_USER", "me", "ELASTICSEARCH_PASSWORD", "pass"},
		{web.Basic("me", "pass"), "ELASTICSEARCH_HOSTS", withUser},
		{"ApiKey abc==", "ELASTICSEARCH_HOSTS", server.URL, "ELASTICSEARCH_API_KEY", "abc=="},
	} {
		require.NoError(t, open(t, test[1:]...).Write(t.Context(), sample.Batch(0, 1, sample.Source(1))))
		require.Equal(t, test[0], <-got)
		<-got
	}
	was := credentialFile
	defer func() { credentialFile = was }()
	credentialFile = filepath.Join(t.TempDir(), "es_credential")
	require.NoError(t, os.WriteFile(credentialFile, []byte("pilot:log:pilot\n"), 0o600))
	require.NoError(t, open(t, "ELASTICSEARCH_HOSTS", server.URL).Write(t.Context(), sample.Batch(0, 1, sample.Source(1))))
	require.Equal(t, web.Basic("pilot", "log:pilot"), <-got)
}

// Whatever a server, or a proxy before it, answers: a verdict that names only records that were sent, and no panic.
func FuzzVerdict(f *testing.F) {
	for _, v := range versions {
		f.Add(string(v.recorded("mixed.json")))
		f.Add(string(v.recorded("created.json")))
	}
	f.Add(`{"errors":true,"items":[{},{"create":{"status":500,"error":"old"}}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		const sent = 4
		err := verdict(&web.Response{Status: 200, Body: io.NopCloser(strings.NewReader(body))}, sent, true,
			func(i int) string { return make([]string, sent)[i] })
		var partial *output.Partial
		if errors.As(err, &partial) {
			for _, i := range partial.Retry {
				require.Less(t, i, sent)
			}
			for _, r := range partial.Refused {
				require.Less(t, r.Index, sent)
			}
		}
	})
}

func TestEncodingAllocatesNothing(t *testing.T) {
	for _, shared := range []bool{true, false} {
		o := open(t, "ELASTICSEARCH_HOST", "h")
		b := sample.Batch(0, 1000, sample.Source(1))
		var to web.Buffer
		o.encode(&to, b, shared, nil)
		allocs := testing.AllocsPerRun(20, func() {
			to.Bytes = to.Bytes[:0]
			o.encode(&to, b, shared, nil)
		})
		require.Less(t, allocs, 20.0, "a batch of 1000 records")
	}
}

func BenchmarkEncode(b *testing.B) {
	o := open(b, "ELASTICSEARCH_HOST", "h")
	batch := sample.Batch(0, 10_000, sample.Source(1))
	var to web.Buffer
	b.ReportAllocs()
	for b.Loop() {
		to.Bytes = to.Bytes[:0]
		if common(&o.pattern, batch) != "" {
			o.encode(&to, batch, true, nil)
		}
	}
	b.SetBytes(int64(len(to.Bytes)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Records)), "ns/record")
}

func BenchmarkWrite(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, `{"errors":false}`)
	}))
	defer server.Close()
	o := open(b, "ELASTICSEARCH_HOSTS", server.URL)
	batch := sample.Batch(0, 10_000, sample.Source(1))
	b.ReportAllocs()
	for b.Loop() {
		if err := o.Write(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Records)), "ns/record")
}
