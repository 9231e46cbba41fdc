// SPDX-License-Identifier: Apache-2.0

package format

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/cut"
	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

// Lines of 200 bytes, as services write them.
const (
	jsonLine  = `{"time":"2026-11-21T07:41:07.123456Z","level":"info","caller":"orders/store.go:117","msg":"order stored","order":8317,"customer":"c-4711","items":3,"took_ms":12.75,"path":"/api/v1/orders","retry":false}`
	nginxLine = `203.0.113.77 - - [21/Nov/2026:07:41:07 +0000] "GET /api/v1/orders/8317?expand=items HTTP/1.1" 200 5316 "https://shop.example.com/cart" "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox"`
	csvLine   = `2026-11-21T07:41:07.123Z,info,orders,"order stored, paid",8317,c-4711,3,12.75,/api/v1/orders/8317?expand=items,203.0.113.77,shop-6f7d9c4b5-x2x7q,eu-central-1,"Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0"`
	errorLine = `[Fri Sep 09 10:42:29.902022 2011] [core:error] [pid 35708:tid 4328636416] [client 72.15.99.187:52341] AH00128: File does not exist: /usr/local/apache2/htdocs/favicon.ico, referer: http://shop.example.com`
)

const nginxErrorLine = `2026/11/21 07:41:07 [error] 29#31: *4711 open() "/usr/share/nginx/html/x" failed (2: No such file or directory), client: 192.0.2.7, server: localhost, request: "GET /x HTTP/1.1", host: "shop.example", referrer: "http://a.example/"`

const (
	logfmtLine = `level=info caller=orders/store.go:117 msg="order stored" order=8317 customer=c-4711 items=3 took_ms=12.75 path=/api/v1/orders retry=false`
	klogLine   = `I1121 07:41:07.123456       1 kubelet.go:2458] "SyncLoop (PLEG): event for pod" pod="kube-system/coredns-5d78c9869d-abcde" event={"ID":"x"}`
	syslogLine = `<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog 230 ID47 [exampleSDID@32473 iut="3" eventSource="Application"] An application event log entry`
)

const regexpPattern = `^(?P<addr>\S+) - (?P<user>\S+) \[(?P<time>[^\]]+)\] "(?P<request>[^"]*)" (?P<status>\d+) (?P<size>\d+)`

// declared are the formats with a line for each.
var declared = map[string]struct {
	declaration declare.Declaration
	line        string
}{
	"json":         {declare.Declaration{Format: "json"}, jsonLine},
	"json-time":    {declare.Declaration{Format: "json", FormatOptions: map[string]string{"time_key": "time"}}, jsonLine},
	"nginx":        {declare.Declaration{Format: "nginx"}, nginxLine},
	"nginx-tail":   {declare.Declaration{Format: "nginx"}, nginxLine + ` "198.51.100.7, 10.0.0.1" 0.120 0.001, 0.119`},
	"apache2":      {declare.Declaration{Format: "apache2"}, nginxLine},
	"apache_error": {declare.Declaration{Format: "apache_error"}, errorLine},
	"logfmt":       {declare.Declaration{Format: "logfmt"}, logfmtLine},
	"kv":           {declare.Declaration{Format: "kv", FormatOptions: map[string]string{"pair": ";", "separator": ":"}}, `level:info;caller:"orders/store.go";order:8317;customer:c-4711;items:3;took_ms:12.75;path:/api/v1/orders`},
	"klog":         {declare.Declaration{Format: "klog"}, klogLine},
	"syslog":       {declare.Declaration{Format: "syslog"}, syslogLine},
	"nginx_error":  {declare.Declaration{Format: "nginx_error"}, nginxErrorLine},
	"log_format": {declare.Declaration{Format: "nginx", FormatOptions: map[string]string{
		"log_format": `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"`}}, nginxLine},
	"csv": {declare.Declaration{Format: "csv", FormatOptions: map[string]string{
		"keys": "time,level,service,message,order,customer,items,took,path,addr,pod,zone,agent"}}, csvLine},
	"csv-time": {declare.Declaration{Format: "csv", FormatOptions: map[string]string{"time_key": "time",
		"keys": "time,level,service,message,order,customer,items,took,path,addr,pod,zone,agent"}}, csvLine},
}

func BenchmarkFormat(b *testing.B) {
	for name, c := range declared {
		b.Run(name, func(b *testing.B) { benchmarkChain(b, c.declaration, c.line) })
	}
	b.Run("regexp", func(b *testing.B) {
		benchmarkChain(b, declare.Declaration{Format: "regexp", FormatOptions: map[string]string{"pattern": regexpPattern}}, nginxLine)
	})
}

func BenchmarkMultiline(b *testing.B) {
	for _, preset := range declare.MultilinePresets {
		b.Run(preset, func(b *testing.B) {
			benchmarkChain(b, declare.Declaration{Multiline: map[string]string{"preset": preset}}, nginxLine)
		})
	}
	b.Run("start", func(b *testing.B) {
		benchmarkChain(b, declare.Declaration{Multiline: map[string]string{"start": `^\d`}}, nginxLine)
	})
}

func BenchmarkFilters(b *testing.B) {
	for name, filters := range map[string]map[string]string{
		"keep": {"keep": "GET"}, "field": {"keep": "level~info"}, "email": {"mask": "email"}, "ipv4": {"mask": "ipv4"}, "credit_card": {"mask": "credit_card"},
		"bearer": {"mask": "bearer"}, "add": {"add": "a=b"}, "remove": {"remove": "level,items"}, "rename": {"rename": "msg=message"}, "rate_limit": {"rate_limit": "1e9"},
	} {
		b.Run(name, func(b *testing.B) {
			benchmarkChain(b, declare.Declaration{Format: "json", Filters: filters}, strings.Replace(jsonLine, "info", "info GET", 1))
		})
	}
}

func benchmarkChain(b *testing.B, d declare.Declaration, line string) {
	src := newSource(record.Tag{Key: "app", Value: "shop"})
	chain, batch := newChain(b, d, src), record.NewBatch(64<<10)
	p := []byte(line)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%256 == 0 {
			batch.Reset()
		}
		from := len(batch.Records)
		batch.Records = append(batch.Records, record.Record{Line: p, Source: src, Time: readAt})
		chain.Apply(batch, from, readAt, false)
	}
}

// none has no chain: what it costs is to cut lines into records.
func BenchmarkNone(b *testing.B) {
	text := bytes.Repeat([]byte(nginxLine+"\n"), 256)
	src, batch := newSource(), record.NewBatch(len(text))
	lines := cut.NewLines(src, 1<<20)
	copy(batch.Free(), text)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		lines.Cut(batch, batch.Free(), 0, readAt, true)
	}
}

// The yardsticks.

func BenchmarkYardstickIndexByte(b *testing.B) {
	p := []byte(nginxLine + "\n")
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		bytes.IndexByte(p, '\n')
	}
}

func BenchmarkYardstickJSONUnmarshal(b *testing.B) {
	p := []byte(jsonLine)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		var all map[string]any
		require.NoError(b, json.Unmarshal(p, &all))
	}
}

func BenchmarkYardstickJSONValid(b *testing.B) {
	p := []byte(jsonLine)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		json.Valid(p)
	}
}

func BenchmarkYardstickRegexp(b *testing.B) {
	re, p := regexp.MustCompile(regexpPattern), []byte(nginxLine)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		re.FindSubmatchIndex(p)
	}
}

func TestFormatsAllocateNothing(t *testing.T) {
	for name, c := range declared {
		src := newSource(record.Tag{Key: "app", Value: "shop"})
		chain, b := newChain(t, c.declaration, src), record.NewBatch(64<<10)
		p := []byte(c.line)
		one := func() {
			b.Reset()
			b.Records = append(b.Records, record.Record{Line: p, Source: src, Time: readAt})
			chain.Apply(b, 0, readAt, false)
			if b.Records[0].Line != nil || len(b.Records[0].Fields) == 0 {
				panic(name)
			}
		}
		one()
		require.Zero(t, testing.AllocsPerRun(100, one), name)
	}
	text := bytes.Repeat([]byte(nginxLine+"\n"), 64)
	src, b := newSource(), record.NewBatch(len(text))
	lines := cut.NewLines(src, 1<<20)
	copy(b.Free(), text)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		b.Reset()
		lines.Cut(b, b.Free(), 0, readAt, true)
	}), "none")
}
