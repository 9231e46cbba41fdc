// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

// Outputs share a stream's records if, and only if, nothing that these depend on differs.
func TestRulesAreOfAllThatRecordsDependOn(t *testing.T) {
	request := func() Request {
		return Request{Declaration: declare.Declaration{Name: "web", Format: "json", Filters: map[string]string{"mask": "a", "drop": "b", "keep": "c"}},
			Kind: CRI, PartialTimeout: time.Second, Path: "/l", Tags: []record.Tag{{Key: "k", Value: "v"}}, Origin: []record.Tag{{Key: "host", Value: "h"}}}
	}
	same := request()
	same.Output, same.Done, same.Series, same.Keep = "another", func() {}, "s", true
	for range 100 { // maps have no order
		require.Equal(t, rules(request()), rules(same))
	}
	for name, change := range map[string]func(*Request){
		"format":  func(r *Request) { r.Declaration.Format = "none" },
		"filter":  func(r *Request) { r.Declaration.Filters["mask"] = "x" },
		"streams": func(r *Request) { r.Declaration.Streams = "stderr" },
		"kind":    func(r *Request) { r.Kind = JSONFile },
		"timeout": func(r *Request) { r.PartialTimeout++ },
		"path":    func(r *Request) { r.Path = "/m" },
		"tags":    func(r *Request) { r.Tags[0].Value = "w" },
		"origin":  func(r *Request) { r.Origin = nil },
	} {
		r := request()
		change(&r)
		require.NotEqual(t, rules(request()), rules(r), name)
	}
}
