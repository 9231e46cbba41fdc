// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
	"github.com/remora-logs/remora/shared/stream"
)

type keyed struct{ stream.Stream }

func (keyed) Key() string { return "s" }

// Golden records of log-pilot's two modes, member by member: names and values as Logstash pipelines and dashboards behind
// log-pilot know them.
func TestGoldenRecordsOfLogPilot(t *testing.T) {
	local := time.Local
	time.Local = time.FixedZone("CST", 8*3600)
	t.Cleanup(func() { time.Local = local })
	origin := []record.Tag{{Key: "docker_container", Value: "k8s_tomcat_tomcat-1_default_0b5_0"}, {Key: "k8s_container_name", Value: "tomcat"},
		{Key: "k8s_node_name", Value: "node1"}, {Key: "k8s_pod", Value: "tomcat-1"}, {Key: "k8s_pod_namespace", Value: "default"}}
	at := time.Date(2018, 3, 29, 17, 30, 5, 123456789, time.UTC).UnixNano()
	for _, mode := range []string{"filebeat", "fluentd"} {
		for _, of := range []struct {
			name, path string
			std        record.Std
		}{{"stdout", "stdout", record.Stdout}, {"file", "/logs/catalina.log", record.NoStd}} {
			d := &Delivery{}
			d.options.Common.Compat, d.options.Common.Host = mode, "node1"
			declaration := declare.Declaration{Name: "catalina", Target: "tomcat", Format: "none", Tags: map[string]string{"team": "a"}}
			src := d.source(Request{Declaration: declaration, Stream: keyed{}, Path: of.path, Origin: origin}, d.compatTags(declaration))
			var e record.Encoder
			got := e.AppendRecord(nil, &record.Record{Line: []byte(`Server "up"`), Source: src, Time: at, Offset: 42, Std: of.std})
			want, err := os.ReadFile(filepath.Join("testdata", mode+"-"+of.name+".json"))
			require.NoError(t, err)
			require.JSONEq(t, string(want), string(got), "%s, %s", mode, of.name)
			names := map[string]json.RawMessage{}
			require.NoError(t, json.Unmarshal(got, &names))
			for name := range names {
				if name != "message" {
					require.True(t, src.Owns([]byte(name)), "an application could write a second %s", name)
				}
			}
			for _, name := range []string{"beat.name", "prospector.type"} { // stores take them for members of beat and prospector
				require.Equal(t, mode == "filebeat", src.Owns([]byte(name)), name)
			}
			require.False(t, src.Owns([]byte("beats.name")) || src.Owns([]byte("beat_name")))
		}
	}
}

func TestWithoutAModeRecordsStayOurs(t *testing.T) {
	for _, mode := range []string{"", "none"} {
		d := &Delivery{}
		d.options.Common.Compat = mode
		src := d.source(Request{Declaration: declare.Declaration{Name: "a", Target: "a"}, Stream: keyed{}, Path: "stdout"}, nil)
		require.False(t, src.Owns([]byte("beat")) || src.Owns([]byte("log")) || src.Owns([]byte("time")) || src.Owns([]byte("index")))
		var e record.Encoder
		got := e.AppendRecord(nil, &record.Record{Line: []byte("x"), Source: src, Std: record.Stdout})
		require.JSONEq(t, `{"@timestamp":"1970-01-01T00:00:00.000000000Z","message":"x","offset":0,"stream":"stdout","source":"stdout"}`, string(got))
	}
}

// The rest of a cut line is in the next record, which ends with the newline.
func TestOnlyTheEndOfALineHasItsNewline(t *testing.T) {
	src := record.NewSource("s", "a", "stdout", "a", nil, nil).Shaped(record.Shape{StdLine: "log"})
	var e record.Encoder
	require.Contains(t, string(e.AppendRecord(nil, &record.Record{Line: []byte("x"), Source: src, Std: record.Stdout, Truncated: true})), `"log":"x",`)
	require.Contains(t, string(e.AppendRecord(nil, &record.Record{Line: []byte("x"), Source: src, Std: record.Stdout})), `"log":"x\n",`)
	require.Contains(t, string(e.AppendRecord(nil, &record.Record{Line: []byte("x"), Source: src})), `"message":"x",`)
}

// Tags that a container declares are kept, and no member occurs twice.
func TestTagsOfTheNamesThatAShapeAdds(t *testing.T) {
	tags := []record.Tag{{Key: "beat", Value: "mine"}, {Key: "log", Value: "l"}, {Key: "time", Value: "t"}}
	for _, mode := range []string{"filebeat", "fluentd"} {
		src := record.NewSource("s", "a", "stdout", "a", tags, nil).Shaped(compatShape(mode, `h"`))
		var e record.Encoder
		got := e.AppendRecord(nil, &record.Record{Line: []byte("x"), Source: src, Std: record.Stdout})
		seen := map[string]bool{}
		for rest := got[1 : len(got)-1]; ; {
			key, _, next, ok := record.NextField(rest)
			if !ok {
				break
			}
			require.False(t, seen[string(key)], "%s twice in %s", key, got)
			seen[string(key)], rest = true, next
		}
		require.True(t, json.Valid(got))
		require.Contains(t, string(got), `"message":"x`)
		require.Contains(t, string(got), `"beat":"mine"`)
	}
}
