// SPDX-License-Identifier: Apache-2.0

package sls

import (
	"crypto/md5" //nolint:gosec // the protocol's
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/output"
	"github.com/remora-logs/remora/shared/output/internal/sample"
	"github.com/remora-logs/remora/shared/output/internal/web"
	"github.com/remora-logs/remora/shared/output/settings"
	"github.com/remora-logs/remora/shared/record"
)

// Answers that Alibaba's own SDK has in its tests.
func TestSignaturesAreThoseOfTheSDK(t *testing.T) {
	u := &url.URL{Path: "/logstores"}
	body := "adasd= -asd zcas"
	signed := map[string]string{"x-log-date": "20220808T032330Z", "x-log-content-sha256": sha(body)}
	require.Equal(t, "8a10a5e723cb2e75964816de660b2c16a58af8bc0261f7f0722d832468c76ce8",
		signV4("zxasdasdasw2", "cn-shanghai", "20220808T032330Z", "POST", u, signed))
	signed["x-log-test"], signed["x-acs-ppp"] = "het123", "dds"
	u.RawQuery = url.Values{" abc": {"efg"}, " agc ": {""}, "": {"efg"}, "A-bc": {"eFg"}}.Encode()
	require.Equal(t, "a98f5632e93836e63839cd836a54055f480020a9364ca944e2d34f2eb9bf1bed",
		signV4("zxasdasdasw2", "cn-hangzhou", "20220808T032330Z", "POST", u, signed))

	h := http.Header{"X-Log-Apiversion": {"0.6.0"}, "X-Log-Signaturemethod": {"hmac-sha1"}, "X-Log-Bodyrawsize": {"0"}, "Date": {"Mon, 3 Jan 2010 08:33:47 GMT"}}
	require.Equal(t, "Rwm6cTKzoti4HWoe+GKcb6Kv07E=", signV1("mockAccessKeySecret", "GET", &url.URL{Path: "/logstores"}, h))
	pb := []byte{10, 50, 10, 30, 8, 248, 178, 147, 158, 5, 18, 22, 10, 7, 84, 101, 115, 116, 75, 101, 121, 18, 11, 84, 101, 115, 116, 67, 111,
		110, 116, 101, 110, 116, 26, 0, 34, 14, 49, 48, 46, 50, 51, 48, 46, 50, 48, 49, 46, 49, 49, 55}
	h.Set("X-Log-Bodyrawsize", "50")
	h.Set("Content-Md5", fmt.Sprintf("%X", md5.Sum(pb)))
	h.Set("Content-Type", "application/x-protobuf")
	require.Equal(t, "87xQWqFaOSewqRIma8kPjGYlXHc=", signV1("mockAccessKeySecret", "GET", &url.URL{Path: "/logstores/app_log"}, h))
}

// service is a project that answers as it is told to.
type service struct {
	t       *testing.T
	judge   func(logstore string, logs []log) (status int, code, message string)
	stored  map[string][]log
	puts    int
	created []string
	bodies  []map[uint64][]string
}

// log is a record as the service has it.
type log map[string]string

func start(t *testing.T, judge func(logstore string, logs []log) (status int, code, message string)) (*service, string) {
	s := &service{t: t, judge: judge, stored: map[string][]log{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, server.URL
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if !strings.HasPrefix(r.Host, "proj.") || r.Header.Get("X-Log-Apiversion") != "0.6.0" || !strings.HasPrefix(r.Header.Get("Authorization"), "LOG id:") {
		s.t.Errorf("%s %v", r.Host, r.Header)
	}
	if r.URL.Path == "/logstores" {
		s.created = append(s.created, string(body))
		return
	}
	s.puts++
	size, _ := strconv.Atoi(r.Header.Get("X-Log-Bodyrawsize"))
	raw := make([]byte, size)
	var err error
	switch r.Header.Get("X-Log-Compresstype") {
	case "lz4":
		_, err = lz4.UncompressBlock(body, raw)
	case "zstd":
		d, _ := zstd.NewReader(nil)
		raw, err = d.DecodeAll(body, nil)
	default:
		raw = body
	}
	if err != nil || len(raw) != size {
		s.t.Errorf("%v, %d bytes of %d", err, len(raw), size)
	}
	group := fields(raw)
	s.bodies = append(s.bodies, group)
	var logs []log
	for _, text := range group[1] {
		m := fields([]byte(text))
		l := log{"time": m[1][0], "nanos": m[4][0]}
		for _, pair := range m[2] {
			p := fields([]byte(pair))
			l[p[1][0]] = p[2][0]
		}
		logs = append(logs, l)
	}
	logstore := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/logstores/"), "/shards/lb")
	if status, code, message := s.judge(logstore, logs); status != 0 {
		w.Header().Set("X-Log-Requestid", "request-1")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"errorCode":%q,"errorMessage":%q}`, code, message)
		return
	}
	s.stored[logstore] = append(s.stored[logstore], logs...)
}

// fields takes a protobuf message apart: numbers as text.
func fields(p []byte) map[uint64][]string {
	all := map[uint64][]string{}
	for len(p) > 0 {
		tag, n := binary.Uvarint(p)
		p = p[n:]
		switch tag & 7 {
		case 0:
			v, n := binary.Uvarint(p)
			all[tag>>3] = append(all[tag>>3], fmt.Sprint(v))
			p = p[n:]
		case 5:
			all[tag>>3] = append(all[tag>>3], fmt.Sprint(binary.LittleEndian.Uint32(p)))
			p = p[4:]
		default:
			size, n := binary.Uvarint(p)
			all[tag>>3] = append(all[tag>>3], string(p[n:n+int(size)]))
			p = p[n+int(size):]
		}
	}
	return all
}

func open(t testing.TB, address string, environ ...string) *Output {
	t.Helper()
	vars := map[string]string{
		"ALIYUNSLS_PROJECT": "proj", "ALIYUNSLS_REGION_ENDPOINT": address, "ALIYUNSLS_ACCESS_KEY_ID": "id", "ALIYUNSLS_ACCESS_KEY_SECRET": "hunter2",
	}
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

func takes(string, []log) (int, string, string) { return 0, "", "" }

func TestLogs(t *testing.T) {
	for _, codec := range []string{"lz4", "zstd", "none"} {
		s, address := start(t, takes)
		b := sample.Batch(0, 3, sample.Source(1), sample.Source(2))
		b.Records[0].Time += 42
		b.Records[0].Fields = []byte(`"status":200,"__topic__":"forged","text":"a\nb"`)
		require.NoError(t, open(t, address, "ALIYUNSLS_COMPRESSION", codec).Write(t.Context(), b))
		require.Equal(t, 1, s.puts)
		l := s.stored["web"][0]
		require.Equal(t, log{
			"time": "1763708400", "nanos": "42", "message": sample.Line(0), "status": "200", "app__topic__": "forged", "text": "a\nb",
			"stream": "stdout", "offset": "0", "remora": string(b.Records[0].AppendID(nil)), "source": "stdout", "team": "blue",
			"docker_container": "web-1", "host": "node-1", "container_id": "0123456789ab", "image": "nginx:1.27",
		}, l)
		require.Equal(t, []string{"node-1"}, s.bodies[0][3], "topic")
		require.Equal(t, []string{"node-1"}, s.bodies[0][4], "source")
		require.Equal(t, "__hostname__", fields([]byte(s.bodies[0][6][0]))[1][0])
	}
}

func TestLargeBatchesAreCut(t *testing.T) {
	s, address := start(t, func(_ string, logs []log) (int, string, string) {
		if len(logs) > maxLogs {
			return 400, "PostBodyInvalid", "too many"
		}
		return 0, "", ""
	})
	require.NoError(t, open(t, address).Write(t.Context(), sample.Batch(0, 10_000, sample.Source(1))))
	require.Len(t, s.stored["web"], 10_000)
	require.Equal(t, 3, s.puts)
}

// What one logstore can't take holds back that logstore alone.
func TestOneLogstoreIsBlockedAlone(t *testing.T) {
	for _, said := range []struct {
		status        int
		code, message string
	}{
		{404, "LogStoreNotExist", "logstore evil does not exist"}, {403, "ShardWriteQuotaExceed", "slow down"},
		{401, "Unauthorized", "denied by sts or ram, action: log:PostLogStoreLogs"}, {400, "LogStoreWithoutShard", "no shard"},
	} {
		s, address := start(t, func(logstore string, _ []log) (int, string, string) {
			if logstore == "evil" {
				return said.status, said.code, said.message
			}
			return 0, "", ""
		})
		evil := record.NewSource("k", "d", "stdout", "evil", nil, nil)
		nowhere := record.NewSource("l", "d", "stdout", "", nil, nil)
		b := sample.Batch(0, 2, evil, sample.Source(1), nowhere)
		o := open(t, address)
		var partial *output.Partial
		require.ErrorAs(t, o.Write(t.Context(), b), &partial)
		require.Empty(t, partial.Retry)
		require.Len(t, partial.Blocked, 4)
		for _, blocked := range partial.Blocked {
			require.Equal(t, string(o.AppendDestination(nil, &b.Records[blocked.Index])), blocked.Destination)
		}
		require.Equal(t, "logstore evil, log d (k)", partial.Blocked[0].Destination)
		require.Len(t, s.stored["web"], 2)
		require.Empty(t, s.created)
	}
}

func TestMissingLogstoreIsCreatedWhereThatIsWanted(t *testing.T) {
	s, address := start(t, nil)
	s.judge = func(string, []log) (int, string, string) {
		if len(s.created) == 0 {
			return 404, "LogStoreNotExist", "logstore web does not exist"
		}
		return 0, "", ""
	}
	o := open(t, address, "ALIYUNSLS_NEED_CREATE_LOGSTORE", "true", "ALIYUNSLS_CREATE_LOGSTORE_TTL", "7")
	b := sample.Batch(0, 2, sample.Source(1))
	var partial *output.Partial
	require.ErrorAs(t, o.Write(t.Context(), b), &partial)
	require.Len(t, partial.Blocked, 2)
	require.Positive(t, partial.Blocked[0].After)
	require.Equal(t, []string{`{"logstoreName":"web","shardCount":2,"ttl":7}`}, s.created)
	require.NoError(t, o.Write(t.Context(), b))
}

// Records of files carry their file as the tag __path__, as Logtail's do, those of standard output none; where a batch has very
// many files, a request for each would be too many.
func TestTheFileIsATag(t *testing.T) {
	s, address := start(t, func(string, []log) (int, string, string) { return 0, "", "" })
	o := open(t, address)
	of := func(files int) *record.Batch {
		b := &record.Batch{}
		for i := range files {
			src := record.NewSource(fmt.Sprint(i), "access", fmt.Sprintf("/var/log/%d.log", i), "web", nil, nil)
			b.Records = append(b.Records, record.Record{Line: []byte("a"), Source: src}, record.Record{Line: []byte("b"), Source: src})
		}
		out := record.NewSource("out", "out", "/var/log/pods/x/0.log", "web", nil, nil)
		b.Records = append(b.Records, record.Record{Line: []byte("c"), Source: out, Std: record.Stdout})
		return b
	}
	require.NoError(t, o.Write(t.Context(), of(3)))
	var paths []string
	for _, group := range s.bodies {
		for _, tag := range group[6] {
			if pair := fields([]byte(tag)); pair[1][0] == "__path__" {
				paths = append(paths, pair[2][0])
			}
		}
	}
	require.Equal(t, []string{"/var/log/0.log", "/var/log/1.log", "/var/log/2.log"}, paths)
	require.Len(t, s.bodies, 4)
	require.NoError(t, o.Write(t.Context(), of(1000)))
	require.Len(t, s.bodies, 5)
	require.Len(t, s.stored["web"], 7+2001)
}

// A log goes to the project that it names, if the output lists it, and has its logstore created with what it says, within what is
// allowed. What one project refuses is not the others' matter.
func TestALogGoesToItsOwnProject(t *testing.T) {
	var hosts []string
	created := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hosts = append(hosts, strings.Split(r.Host, ".")[0]+" "+r.URL.Path)
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/logstores" {
			hosts[len(hosts)-1] += " " + string(body)
			created[r.Host] = true
		} else if strings.HasPrefix(r.Host, "other.") && !created[r.Host] {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"errorCode":"LogStoreNotExist","errorMessage":"no"}`)
		}
	}))
	t.Cleanup(server.Close)
	o := open(t, server.URL, "ALIYUNSLS_PROJECTS", "other, third", "ALIYUNSLS_NEED_CREATE_LOGSTORE", "true", "ALIYUNSLS_CREATE_LOGSTORE_TTL", "7")
	var sources []*record.Source
	for i, store := range []record.Store{{}, {Project: "other", Shards: 3, TTL: 5}, {Project: "unlisted", TTL: 90}} {
		s := sample.Source(i)
		s.Store = store
		sources = append(sources, s)
	}
	var partial *output.Partial
	require.ErrorAs(t, o.Write(t.Context(), sample.Batch(0, 2, sources...)), &partial)
	require.Len(t, partial.Blocked, 2)
	require.Contains(t, partial.Blocked[0].Destination, "logstore web, project other, ")
	require.Equal(t, []string{"proj /logstores/web/shards/lb", "other /logstores/web/shards/lb", `other /logstores {"logstoreName":"web","shardCount":3,"ttl":5}`}, hosts)
	hosts = nil
	require.NoError(t, o.Write(t.Context(), sample.Batch(0, 2, sources[1])))
	require.Equal(t, []string{"other /logstores/web/shards/lb"}, hosts)
	require.NoError(t, o.Close())
}

// A group with one record that the service can't take is refused as a whole: the record is found.
func TestRecordToBlameIsFound(t *testing.T) {
	for _, code := range []string{"InvalidTimestamp", "PostBodyTooLarge"} {
		s, address := start(t, func(_ string, logs []log) (int, string, string) {
			for _, l := range logs {
				if strings.Contains(l["message"], "GET /000000333") {
					return 400, code, "no"
				}
			}
			return 0, "", ""
		})
		var partial *output.Partial
		require.ErrorAs(t, open(t, address).Write(t.Context(), sample.Batch(0, 1000, sample.Source(1))), &partial)
		require.Empty(t, partial.Retry)
		require.Len(t, partial.Refused, 1)
		require.Equal(t, 333, partial.Refused[0].Index)
		require.Contains(t, partial.Refused[0].Reason, "request-1")
		require.Len(t, s.stored["web"], 999)
		require.LessOrEqual(t, s.puts, 21)
	}
}

// What lies between objects to what one container writes: its log waits, and not the others, though they share a logstore.
func TestALogThatAProxyObjectsToWaitsAlone(t *testing.T) {
	s, address := start(t, func(_ string, logs []log) (int, string, string) {
		for _, l := range logs {
			if strings.Contains(l["message"], "UNION SELECT") {
				return 403, "", "blocked"
			}
		}
		return 0, "", ""
	})
	o := open(t, address, "ALIYUNSLS_TOPIC", "{docker_container}")
	b := sample.Batch(0, 2, record.NewSource("k", "d", "stdout", "web", nil, nil), sample.Source(1))
	b.Records[0].Line = []byte("GET /?id=1 UNION SELECT")
	evil := b.Records[0].Source
	require.ErrorAs(t, o.Write(t.Context(), b), new(*web.Suspect))
	var partial *output.Partial
	require.ErrorAs(t, o.Write(t.Context(), b), &partial)
	require.Empty(t, partial.Retry)
	require.Empty(t, partial.Refused)
	require.Len(t, partial.Blocked, 2)
	for _, blocked := range partial.Blocked {
		require.Same(t, evil, b.Records[blocked.Index].Source)
		require.Equal(t, string(o.AppendDestination(nil, &b.Records[blocked.Index])), blocked.Destination)
	}
	require.Len(t, s.stored["web"], 2)
}

// What concerns the project, or the moment, concerns all.
func TestErrorsOfTheProject(t *testing.T) {
	for status, code := range map[int]string{403: "WriteQuotaExceed", 404: "ProjectNotExist", 401: "SignatureNotMatch", 500: "InternalServerError", 400: "RequestTimeExpired"} {
		_, address := start(t, func(string, []log) (int, string, string) { return status, code, "no" })
		err := open(t, address).Write(t.Context(), sample.Batch(0, 3, sample.Source(1)))
		require.ErrorContains(t, err, code)
		require.NotErrorAs(t, err, new(*output.Partial))
		require.NotErrorAs(t, err, new(*output.Refused))
		require.NotContains(t, err.Error(), "hunter2")
		require.Equal(t, code == "WriteQuotaExceed", asThrottled(err))
	}
}

func TestKeysFromAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(path, []byte("other:secret\n"), 0o600))
	defer func(was string) { keyFile = was }(keyFile)
	keyFile = path
	k, err := (&Config{KeyID: "id", KeySecret: settings.NewSecret("s")}).credentials()
	require.NoError(t, err)
	id, secret := k.now()
	require.Equal(t, []string{"other", "secret"}, []string{id, secret})
	keyFile = path + ".not-there"
	_, err = (&Config{}).credentials()
	require.ErrorContains(t, err, "ALIYUNSLS_ACCESS_KEY_ID")
}

func TestEachTryHasItsOwnDate(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := &signer{key: &credentials{id: "id", secret: settings.NewSecret("s"), token: settings.NewSecret("sts")}, host: "p.cn-hangzhou.log.aliyuncs.com", region: "cn-hangzhou", now: func() time.Time { return at }}
	sign := func() http.Header {
		r := httptest.NewRequest(http.MethodPost, "https://p.cn-hangzhou.log.aliyuncs.com/logstores/x/shards/lb", nil)
		require.NoError(t, s.sign(r, []byte("body")))
		return r.Header
	}
	first := sign()
	at = at.Add(time.Hour)
	second := sign()
	require.Equal(t, "20260102T030405Z", first.Get("X-Log-Date"))
	require.Equal(t, "20260102T040405Z", second.Get("X-Log-Date"))
	require.NotEqual(t, first.Get("Authorization"), second.Get("Authorization"))
	require.Equal(t, "sts", first.Get("X-Acs-Security-Token"))
	require.Contains(t, first.Get("Authorization"), "Credential=id/20260102/cn-hangzhou/sls/aliyun_v4_request,Signature=")
}

func TestSettings(t *testing.T) {
	o := open(t, "cn-hangzhou-intranet.log.aliyuncs.com")
	require.Equal(t, "https://proj.cn-hangzhou-intranet.log.aliyuncs.com", o.project.url.String())
	require.Equal(t, "cn-hangzhou", o.config.Region)
	require.Equal(t, "ap-southeast-1", open(t, "ap-southeast-1.log.aliyuncs.com").config.Region)
	for name, value := range map[string]string{
		"ALIYUNSLS_PROJECT": "", "ALIYUNSLS_REGION_ENDPOINT": "", "ALIYUNSLS_SIGNATURE": "v4", "ALIYUNSLS_COMPRESSION": "gzip",
		"ALIYUNSLS_CREATE_LOGSTORE_TTL": "0", "ALIYUNSLS_CREATE_LOGSTORE_SHARD_COUNT": "0", "ALIYUNSLS_TIMEOUT": "0s", "ALIYUNSLS_TOPIC": "{",
	} {
		vars := map[string]string{"ALIYUNSLS_PROJECT": "p", "ALIYUNSLS_REGION_ENDPOINT": "sls.example"}
		vars[name] = value
		require.ErrorContains(t, settings.Load(vars, new(Config)), name)
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	b := sample.Batch(0, 1000, sample.Source(1), sample.Source(2))
	for i := range b.Records {
		b.Records[i].Fields = []byte(`"status":200,"path":"/x\"y"`)
	}
	e := newEncoder()
	var dst []byte
	run := func() {
		dst = dst[:0]
		for i := range b.Records {
			dst = e.appendLog(dst, &b.Records[i])
		}
	}
	run()
	require.Zero(t, testing.AllocsPerRun(20, run))
}

func BenchmarkEncode(b *testing.B) {
	batch := sample.Batch(0, 10_000, sample.Source(1))
	e := newEncoder()
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = dst[:0]
		for i := range batch.Records {
			dst = e.appendLog(dst, &batch.Records[i])
		}
	}
	b.SetBytes(int64(len(dst)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Records)), "ns/record")
}

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func asThrottled(err error) bool { return errors.As(err, new(*output.Throttled)) }
