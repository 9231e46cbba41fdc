// SPDX-License-Identifier: Apache-2.0

package splunk

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/record"
)

// collector is the event collector as its documentation has it: it reads events in order, stops at the first one that it
// does not take, and has indexed those before it.
type collector struct {
	t       *testing.T
	judge   func(e event) (status, code int, text string) // 0 for what is taken
	acks    bool
	indexed []event
	posts   int
	polls   int
	cookies int
	silent  bool // it leaves questions for acknowledgements without an answer
}

// event is what is posted, as strictly as the documentation has it.
type event struct {
	Time       json.Number       `json:"time"`
	Host       string            `json:"host"`
	Source     string            `json:"source"`
	SourceType string            `json:"sourcetype"`
	Index      string            `json:"index"`
	Event      any               `json:"event"`
	Fields     map[string]string `json:"fields"`
}

func start(t *testing.T, judge func(e event) (status, code int, text string)) (*collector, string) {
	c := &collector{t: t, judge: judge}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	return c, s.URL
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, text string, args ...any) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, text, args...)
	}
	if _, err := r.Cookie("sticky"); err == nil {
		c.cookies++
	}
	http.SetCookie(w, &http.Cookie{Name: "sticky", Value: "node-3"})
	if r.Header.Get("Authorization") != "Splunk a-token" {
		answer(403, `{"text":"Invalid token","code":4}`)
		return
	}
	if c.acks && r.URL.Query().Get("channel") == "" {
		answer(400, `{"text":"Data channel is missing","code":10}`)
		return
	}
	var in io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		in, _ = gzip.NewReader(r.Body)
	}
	if r.URL.Path == "/services/collector/ack" {
		if c.silent {
			_, _ = io.Copy(io.Discard, in) // only then the end of the connection is noticed
			<-r.Context().Done()
			return
		}
		c.poll(w, in)
		return
	}
	c.posts++
	d := json.NewDecoder(in)
	d.DisallowUnknownFields()
	for n := 0; ; n++ {
		var e event
		if err := d.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			c.t.Errorf("event %d: %v", n, err)
		}
		if e.Event == nil || e.Event == "" {
			c.t.Error("a blank event")
		}
		if status, code, text := c.judge(e); status != 0 {
			if n > 0 || code == codeEventBlank {
				answer(status, `{"text":%q,"code":%d,"invalid-event-number":%d}`, text, code, n)
			} else {
				answer(status, `{"text":%q,"code":%d,"invalid-event-number":0}`, text, code)
			}
			return
		}
		c.indexed = append(c.indexed, e)
	}
	if c.acks {
		answer(200, `{"text":"Success","code":0,"ackId":%d}`, c.posts)
		return
	}
	answer(200, `{"text":"Success","code":0}`)
}

// poll tells at the third time that a request is indexed.
func (c *collector) poll(w io.Writer, in io.Reader) {
	c.polls++
	var ask struct{ Acks []int64 }
	_ = json.NewDecoder(in).Decode(&ask)
	said := map[string]bool{}
	for _, id := range ask.Acks {
		said[fmt.Sprint(id)] = c.polls >= 3
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"acks": said})
}

func open(t testing.TB, url string, environ ...string) *Output {
	t.Helper()
	vars := map[string]string{"SPLUNK_URL": url, "SPLUNK_TOKEN": "a-token"}
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

func takes(event) (int, int, string) { return 0, 0, "" }

func TestEvents(t *testing.T) {
	c, url := start(t, takes)
	b := sample.Batch(0, 1, sample.Source(1))
	b.Records[0].Time += 42
	b.Records[0].Fields = []byte(`"status":200`)
	require.NoError(t, open(t, url, "SPLUNK_SOURCETYPE", "x:{team}", "SPLUNK_INDEX", "{target}").Write(t.Context(), b))
	e := c.indexed[0]
	require.Equal(t, json.Number("1763708400.000000042"), e.Time)
	require.Equal(t, []string{"node-1", "stdout", "x:blue", "web"}, []string{e.Host, e.Source, e.SourceType, e.Index})
	object := e.Event.(map[string]any)
	require.Equal(t, sample.Line(0), object["message"])
	require.EqualValues(t, 200, object["status"])
	require.Equal(t, string(b.Records[0].AppendID(nil)), object["remora"])

	b.Records[0].Line = []byte("\t")
	require.NoError(t, open(t, url, "SPLUNK_FORMAT", "raw", "SPLUNK_GZIP", "false").Write(t.Context(), b))
	e = c.indexed[1]
	require.Equal(t, " ", e.Event, "a blank line is no blank event")
	require.Equal(t, "blue", e.Fields["team"])
	require.Equal(t, "stdout", e.Fields["stream"])
	require.Empty(t, e.Index, "the token's default")
}

func has(e event, text string) bool {
	content, _ := json.Marshal(e.Event)
	return strings.Contains(string(content), text)
}

// Those before a faulty event are taken, and must not come again; those behind it are sent.
func TestFaultyEventsAreRefusedAlone(t *testing.T) {
	for _, code := range []int{codeInvalidFormat, codeEventMissing, codeEventBlank, codeIndexedFields} {
		c, url := start(t, func(e event) (int, int, string) {
			if has(e, "GET /000000003") || has(e, "GET /000000007") || has(e, "GET /000000000") {
				return 400, code, "bad"
			}
			return 0, 0, ""
		})
		var partial *output.Partial
		require.ErrorAs(t, open(t, url).Write(t.Context(), sample.Batch(0, 9, sample.Source(1))), &partial)
		require.Empty(t, partial.Retry)
		var refused []int
		for _, r := range partial.Refused {
			refused = append(refused, r.Index)
		}
		require.Equal(t, []int{0, 3, 7}, refused)
		require.Len(t, c.indexed, 6, "none twice")
		require.Equal(t, 4, c.posts)
	}
}

// The collector may be busy within a request.
func TestBusyInTheMidst(t *testing.T) {
	c, url := start(t, func(e event) (int, int, string) {
		if has(e, "GET /000000003") {
			return 503, 9, "Server is busy"
		}
		return 0, 0, ""
	})
	var partial *output.Partial
	require.ErrorAs(t, open(t, url).Write(t.Context(), sample.Batch(0, 6, sample.Source(1))), &partial)
	require.Equal(t, []int{3, 4, 5}, partial.Retry)
	require.Len(t, c.indexed, 3)
}

// An index that the token may not write to is the operator's to mend, and holds back what goes there.
func TestForbiddenIndex(t *testing.T) {
	c, url := start(t, func(e event) (int, int, string) {
		if e.Index == "evil" {
			return 400, codeIncorrectIndex, "Incorrect index"
		}
		return 0, 0, ""
	})
	evil := record.NewSource("k", "d", "stdout", "evil", nil, nil)
	b := sample.Batch(0, 3, sample.Source(1), evil)
	o := open(t, url, "SPLUNK_INDEX", "{target}")
	var partial *output.Partial
	require.ErrorAs(t, o.Write(t.Context(), b), &partial)
	require.Empty(t, partial.Retry)
	require.Len(t, partial.Blocked, 3)
	require.Equal(t, "index evil", partial.Blocked[0].Destination)
	require.Equal(t, "index evil", string(o.AppendDestination(nil, &b.Records[1])))
	require.Len(t, c.indexed, 3)
	err := open(t, url, "SPLUNK_INDEX", "evil").Write(t.Context(), b)
	require.NotErrorAs(t, err, &partial, "one index for all")
	require.ErrorContains(t, err, "Incorrect index")
}

func TestTokenThatIsNotKnown(t *testing.T) {
	_, url := start(t, takes)
	err := open(t, url, "SPLUNK_TOKEN", "hunter2").Write(t.Context(), sample.Batch(0, 1, sample.Source(1)))
	require.ErrorContains(t, err, "Invalid token")
	require.NotContains(t, err.Error(), "hunter2")
	require.NotErrorAs(t, err, new(*output.Refused))
}

func TestLargeBatchesAreCut(t *testing.T) {
	c, url := start(t, takes)
	require.NoError(t, open(t, url).Write(t.Context(), sample.Batch(0, 10_000, sample.Source(1))))
	require.Len(t, c.indexed, 10_000)
	require.Greater(t, c.posts, 2)
}

// The collector really is asked whether a batch is indexed, on the node that took it.
func TestAcknowledgement(t *testing.T) {
	c, url := start(t, takes)
	c.acks = true
	open := func(t *testing.T, url string, environ ...string) *Output {
		o := open(t, url, environ...)
		o.firstPoll = time.Millisecond
		return o
	}
	require.NoError(t, open(t, url, "SPLUNK_ACK", "true").Write(t.Context(), sample.Batch(0, 3, sample.Source(1))))
	require.Equal(t, 3, c.polls)
	require.Equal(t, 3, c.cookies)
	require.Len(t, c.indexed, 3)
	c.polls = -1000
	err := open(t, url, "SPLUNK_ACK", "true", "SPLUNK_ACK_TIMEOUT", "100ms").Write(t.Context(), sample.Batch(0, 3, sample.Source(1)))
	require.ErrorContains(t, err, "not indexed after 100ms")
	c.acks = false
	require.ErrorContains(t, open(t, url, "SPLUNK_ACK", "true").Write(t.Context(), sample.Batch(0, 1, sample.Source(1))), "SPLUNK_ACK")
}

// A timeout that ends a question says the same as one that ends a pause.
func TestAcknowledgementTimeoutEndsAQuestion(t *testing.T) {
	c, url := start(t, takes)
	c.acks, c.silent = true, true
	o := open(t, url, "SPLUNK_ACK", "true", "SPLUNK_ACK_TIMEOUT", "100ms")
	o.firstPoll = 0
	err := o.Write(t.Context(), sample.Batch(0, 3, sample.Source(1)))
	require.ErrorContains(t, err, "1 requests are not indexed after 100ms")
}

func TestWrongSettings(t *testing.T) {
	for name, value := range map[string]string{
		"SPLUNK_URL": "", "SPLUNK_TOKEN": "", "SPLUNK_FORMAT": "inline", "SPLUNK_ACK_TIMEOUT": "0s", "SPLUNK_TIMEOUT": "0s", "SPLUNK_INDEX": "{",
		"SPLUNK_SOURCE": "}", "SPLUNK_SOURCETYPE": "{}",
	} {
		vars := map[string]string{"SPLUNK_URL": "h", "SPLUNK_TOKEN": "t"}
		vars[name] = value
		require.ErrorContains(t, settings.Load(vars, new(Config)), name)
	}
	o := open(t, "https://h:1/prefix/services/collector")
	require.Equal(t, "https://h:1/prefix/services/collector/event", o.events.String())
}

func TestEncodingAllocatesNothing(t *testing.T) {
	b := sample.Batch(0, 1000, sample.Source(1), sample.Source(2))
	for _, format := range []string{"json", "raw"} {
		e, err := newEncoder(&Config{Format: format, Index: "{target}", Source: "{source}"})
		require.NoError(t, err)
		var dst []byte
		run := func() {
			dst = dst[:0]
			for i := range b.Records {
				dst = e.appendEvent(dst, &b.Records[i])
			}
		}
		run()
		require.Zero(t, testing.AllocsPerRun(20, run))
	}
}

func BenchmarkEncode(b *testing.B) {
	batch := sample.Batch(0, 10_000, sample.Source(1))
	e, _ := newEncoder(&Config{Format: "json", Source: "{source}"})
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = dst[:0]
		for i := range batch.Records {
			dst = e.appendEvent(dst, &batch.Records[i])
		}
	}
	b.SetBytes(int64(len(dst)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Records)), "ns/record")
}

// A firewall that refuses a request with 200 and a page may do so for what one log holds.
func TestAPageIsNoSuccess(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("<html>The request was blocked. Support ID: 1</html>"))
	}))
	defer s.Close()
	require.ErrorAs(t, open(t, s.URL).Write(t.Context(), sample.Batch(0, 3, sample.Source(1))), new(*web.Suspect))
}
