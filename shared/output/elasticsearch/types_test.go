// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/record"
)

// oneType stands in for Elasticsearch 5 and 6: an index has the type that it was made with, and a record of another type is
// answered as version 6 answers it.
type oneType struct {
	version   string
	types     map[string]string // by index
	asked     int               // for mappings
	pipelines []string
}

func (s *oneType) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/":
		fmt.Fprintf(w, `{"version":{"number":%q},"tagline":"You Know, for Search"}`, s.version)
		return
	case r.Method == http.MethodGet:
		s.asked++
		kind, ok := s.types[parts[0]]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":{"type":"index_not_found_exception","reason":"no such index"},"status":404}`)
			return
		}
		fmt.Fprintf(w, `{%q:{"aliases":{},"mappings":{"_default_":{"dynamic":true},%q:{"properties":{"mappings":{"type":"text"}}}}}}`, parts[0], kind)
		return
	}
	body, _ := io.ReadAll(r.Body)
	rows := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
	var items []string
	for i := 0; i < len(rows); i += 2 {
		items = append(items, s.create(parts, rows[i]))
	}
	fmt.Fprintf(w, `{"errors":%t,"items":[%s]}`, strings.Contains(strings.Join(items, ""), "error"), strings.Join(items, ","))
}

func (s *oneType) create(parts []string, row string) string {
	var action struct {
		Create struct {
			Index    string `json:"_index"`
			Type     string `json:"_type"`
			Pipeline string `json:"pipeline"`
		}
	}
	if err := json.Unmarshal([]byte(row), &action); err != nil {
		return `{"create":{"status":500,"error":"` + err.Error() + `"}}`
	}
	a := action.Create
	if len(parts) == 3 {
		a.Index, a.Type = parts[0], parts[1]
	}
	s.pipelines = append(s.pipelines, a.Pipeline)
	had := s.types[a.Index]
	switch {
	case s.version < "6.2" && strings.HasPrefix(a.Type, "_"):
		return `{"create":{"status":400,"error":{"type":"invalid_type_name_exception","reason":"Document mapping type name can't start with '_'"}}}`
	case had == "":
		s.types[a.Index] = a.Type
	case had != a.Type:
		return fmt.Sprintf(`{"create":{"status":400,"error":{"type":"illegal_argument_exception","reason":"Rejecting mapping update to [%s] as the final mapping would have more than 1 type: [%s, %s]"}}}`, a.Index, had, a.Type)
	}
	if strings.Contains(a.Pipeline, "missing") {
		return fmt.Sprintf(`{"create":{"status":400,"error":{"type":"illegal_argument_exception","reason":"pipeline with id [%s] does not exist"}}}`, a.Pipeline)
	}
	return `{"create":{"status":201}}`
}

func serve(t *testing.T, s *oneType, environ ...string) *Output {
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return open(t, append([]string{"ELASTICSEARCH_HOSTS", server.URL, "ELASTICSEARCH_INDEX", "{target}-{yyyy.MM.dd}"}, environ...)...)
}

// two is a batch for the indices old-2025.11.21 and new-2025.11.21.
func two() *record.Batch {
	b := sample.Batch(0, 4, record.NewSource("1", "a", "stdout", "old", nil, nil), record.NewSource("2", "b", "stdout", "new", nil, nil))
	for i := range b.Records {
		b.Records[i].Time = time.Date(2025, 11, 21, 1, 2, 3, 0, time.UTC).UnixNano()
	}
	return b
}

// On the day of the change log-pilot made the index, with its own type. Indices that come later have the mode's type.
func TestAnIndexKeepsTheTypeThatAnotherAgentMadeItWith(t *testing.T) {
	for _, c := range []struct{ version, had, setting, want string }{
		{"6.8.23", "doc", "_doc", "_doc"}, {"6.8.23", "fluentd", "doc", "doc"}, {"6.1.4", "doc", "_doc", "doc"}, {"5.6.16", "logs", "_doc", "doc"},
		{"6.2.0", "fluentd", "fluentd", "fluentd"},
	} {
		s := &oneType{version: c.version, types: map[string]string{"old-2025.11.21": c.had}}
		o := serve(t, s, "ELASTICSEARCH_TYPE_DEFAULT", c.setting)
		for range 3 {
			require.NoError(t, o.Write(t.Context(), two()), "%v", c)
		}
		require.Equal(t, map[string]string{"old-2025.11.21": c.had, "new-2025.11.21": c.want}, s.types)
		require.Equal(t, 2, s.asked, "once for each index")
		one := sample.Batch(0, 2, record.NewSource("1", "a", "stdout", "old", nil, nil)) // the index is in the URL
		for i := range one.Records {
			one.Records[i].Time = two().Records[0].Time
		}
		require.NoError(t, o.Write(t.Context(), one))
	}
}

// Another agent may make the index between the question and the first record: the records wait, and find the type then.
func TestAConflictOfTypesIsNeverFinal(t *testing.T) {
	s := &oneType{version: "6.8.23", types: map[string]string{}}
	o := serve(t, s)
	require.NoError(t, o.Write(t.Context(), two()))
	s.types["old-2025.11.21"] = "doc" // made anew
	var partial *output.Partial
	b := two()
	require.ErrorAs(t, o.Write(t.Context(), b), &partial)
	require.Empty(t, partial.Refused)
	require.Len(t, partial.Blocked, 4, "and those of the other index were taken")
	for _, blockage := range partial.Blocked {
		require.Equal(t, string(o.AppendDestination(nil, &b.Records[blockage.Index])), blockage.Destination)
	}
	require.NoError(t, o.Write(t.Context(), two()), "the index was asked again")

	s.types["old-2025.11.21"] = "other"
	o = serve(t, s, "ELASTICSEARCH_TYPE", "doc")
	require.ErrorAs(t, o.Write(t.Context(), two()), &partial)
	require.Empty(t, partial.Refused, "the setting is wrong, not the record")
}

// The ingest pipeline is one log's. One that does not exist blocks the records that ask for it, and nobody else's in the
// same index.
func TestPipelineOfOneLog(t *testing.T) {
	for _, version := range []string{"6.8.23", "8.17.0"} {
		s := &oneType{version: version, types: map[string]string{}}
		o := serve(t, s)
		with := func(stream, pipeline string) *record.Source {
			return record.NewSource(stream, stream, "stdout", "same", []record.Tag{{Key: "pipeline", Value: pipeline}}, nil)
		}
		require.NoError(t, o.Write(t.Context(), sample.Batch(0, 2, with("1", `nginx"`))))
		require.Equal(t, []string{`nginx"`, `nginx"`}, s.pipelines)
		b := sample.Batch(0, 6, with("1", "missing"), with("2", "nginx"), record.NewSource("3", "c", "stdout", "same", nil, nil))
		var partial *output.Partial
		require.ErrorAs(t, o.Write(t.Context(), b), &partial)
		require.Empty(t, partial.Refused)
		require.Len(t, partial.Blocked, 6)
		for _, blockage := range partial.Blocked {
			require.Equal(t, "missing", b.Records[blockage.Index].Source.Pipeline)
			require.Equal(t, string(o.AppendDestination(nil, &b.Records[blockage.Index])), blockage.Destination)
		}
	}
}

func TestMappingsOfAllKinds(t *testing.T) {
	for answer, want := range map[string]string{
		``: "", `[]`: "", `{}`: "", `{"i":{}}`: "", `{"i":{"mappings":{}}}`: "", `{"i":{"mappings":[]}}`: "", `{"i":5}`: "",
		`{"i":{"settings":{"mappings":{"x":{}}},"mappings":{"a":{"properties":{"doc":{}}},"b":{}}}}`: "a",
		`{"i":{"mappings":{"a":{},"doc":{}}}}`:                                                       "doc", `{"i":{"mappings":{"_default_":{},"z":{}}}}`: "z",
		`{"i":{"mappings":{"a":{"cut`: "a", `{"i":{"mappings":{"../../_all":{}}}}`: "",
	} {
		require.Equal(t, want, mappedType(strings.NewReader(answer), "doc"), answer)
	}
}

func TestTypesAreBounded(t *testing.T) {
	var all types
	for i := range 3 * maxTypes {
		all.set(fmt.Sprint(i), "doc")
	}
	require.LessOrEqual(t, len(all.known), maxTypes)
	for _, bad := range []string{"a/b", "", "é", strings.Repeat("x", 129)} {
		if bad != "" {
			require.ErrorContains(t, settings.Load(map[string]string{"ELASTICSEARCH_HOST": "h", "ELASTICSEARCH_TYPE": bad}, new(Config)), "ELASTICSEARCH_TYPE")
		}
	}
}
