// SPDX-License-Identifier: Apache-2.0

package elasticsearch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/record"
)

// strict is a store whose field status is a number.
type strict struct{ stored map[string]string }

func (s *strict) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		fmt.Fprint(w, `{"tagline":"You Know, for Search","version":{"number":"8.15.0"}}`)
		return
	}
	body, _ := io.ReadAll(r.Body)
	lines := bytes.Split(bytes.TrimSpace(body), []byte("\n"))
	var items []string
	for i := 0; i+1 < len(lines); i += 2 {
		_, id, _ := strings.Cut(string(lines[i]), `"_id":"`)
		switch doc := string(lines[i+1]); {
		case strings.Contains(doc, `"status":"`):
			items = append(items, `{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"[1:20] failed to parse field [status] of type [long] in document with id 'x'. Preview of field's value: 'up'","caused_by":{"reason":"For input string"}}}}`)
		case strings.Contains(doc, `"a":"`):
			items = append(items, `{"create":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"object mapping for [a] tried to parse field [a] as object, but found a concrete value"}}}`)
		case strings.Contains(doc, `"bad"`):
			items = append(items, `{"create":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"something else"}}}`)
		default:
			s.stored[strings.TrimSuffix(id, `"}}`)] = doc
			items = append(items, `{"create":{"status":201}}`)
		}
	}
	fmt.Fprintf(w, `{"errors":true,"items":[%s]}`, strings.Join(items, ","))
}

// One team's field does not lose another's records: the record arrives once, with the same id, and nothing of it is lost.
func TestConflictingFieldsArriveAsText(t *testing.T) {
	store := &strict{stored: map[string]string{}}
	server := httptest.NewServer(store)
	defer server.Close()
	src := record.NewSource("s", "d", "/l", "t", nil, nil)
	batch := &record.Batch{}
	for i, fields := range []string{`"status":200`, `"status":"up","m":1`, `"bad":1`, `"m":2,"a":"x"`} {
		batch.Records = append(batch.Records, record.Record{Fields: []byte(fields), Source: src, Offset: int64(i)})
	}
	for _, mode := range []string{"refuse", "text"} {
		clear(store.stored)
		o := open(t, "ELASTICSEARCH_HOSTS", server.URL, "ELASTICSEARCH_ON_CONFLICT", mode)
		err := o.Write(t.Context(), batch)
		var partial *output.Partial
		require.True(t, errors.As(err, &partial))
		if mode == "refuse" {
			require.Len(t, partial.Refused, 3)
			require.Len(t, store.stored, 1)
			continue
		}
		require.Len(t, partial.Refused, 1)
		require.Equal(t, 2, partial.Refused[0].Index)
		require.EqualValues(t, 2, o.Conflicts())
		require.Len(t, store.stored, 3)
		require.Contains(t, store.stored[string(batch.Records[1].AppendID(nil))], `"m":1,"conflict.status":"up"`)
		require.Contains(t, store.stored[string(batch.Records[3].AppendID(nil))], `"m":2,"conflict.a":"x"`)
		require.Equal(t, `"status":"up","m":1`, string(batch.Records[1].Fields), "the batch stays as it was")
	}
}

func TestConflictPaths(t *testing.T) {
	for name, want := range map[string]string{
		"a":     `"a.b":1,"c":2,"conflict.a":"{\"b\":{\"x\":1}}"`,
		"a.b":   `"a":{"b":{"x":1}},"c":2,"conflict.a.b":"1"`,
		"a.z.y": `"a.b":1,"c":2,"conflict.a":"{\"b\":{\"x\":1}}"`,
		"none":  ``,
	} {
		got, ok := withoutConflict([]byte(`"a":{"b":{"x":1}},"a.b":1,"c":2`), name)
		require.Equal(t, want != "", ok)
		require.Equal(t, want, string(got))
	}
}
