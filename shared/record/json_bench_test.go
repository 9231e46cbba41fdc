// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// texts are what lines look like, of about 200 bytes each.
var texts = map[string][]byte{
	"plain":   []byte(strings.Repeat("the quick brown fox jumps over the lazy dog; ", 5)[:200]),
	"nginx":   []byte(`203.0.113.77 - alice [21/Nov/2026:07:41:07 +0000] "GET /api/v1/orders/8317?expand=items&page=2 HTTP/1.1" 200 5316 "https://shop.example.com/cart" "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0"`),
	"chinese": []byte(strings.Repeat("订单已提交，等待付款", 7)[:201]),
	"json":    []byte(`{"level":"info","ts":"2026-11-21T07:41:07.123Z","caller":"orders/store.go:117","msg":"order stored","order":8317,"customer":"c-4711","items":3,"took_ms":12.75,"path":"/api/v1/orders","tags":["a","b"]}`),
	"binary":  bytes.Repeat([]byte{0, 1, 0xff, 'a', 'b', 'c', '\n', 0xc3}, 25),
}

func BenchmarkAppendBytes(b *testing.B) {
	for name, text := range texts {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			var dst []byte
			for range b.N {
				dst = AppendBytes(dst[:0], text)
			}
		})
	}
}

// The yardstick: what the standard library takes for the same string.
func BenchmarkMarshalString(b *testing.B) {
	text := string(texts["nginx"])
	b.SetBytes(int64(len(text)))
	for range b.N {
		_, _ = json.Marshal(text)
	}
}

func BenchmarkAppendRecord(b *testing.B) {
	src := NewSource("s", "access", "/var/log/nginx/access.log", "access",
		[]Tag{{"app", "shop"}, {"env", "prod"}}, []Tag{{"k8s_pod", "shop-6f7d9"}, {"k8s_pod_namespace", "shop"}, {"k8s_node_name", "node-1"}})
	b.SetBytes(int64(len(texts["nginx"])))
	b.ReportAllocs()
	var (
		dst []byte
		enc Encoder
	)
	for i := range b.N {
		r := Record{Line: texts["nginx"], Source: src, Time: 1700000000e9 + int64(i)*1000, Offset: int64(i) * 200}
		dst = enc.AppendRecord(dst[:0], &r)
	}
}

func BenchmarkAppendTime(b *testing.B) {
	var (
		dst []byte
		enc Encoder
	)
	for i := range b.N {
		dst = enc.AppendTime(dst[:0], 1700000000e9+int64(i)*1000)
	}
}
