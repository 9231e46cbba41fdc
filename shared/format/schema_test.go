// SPDX-License-Identifier: Apache-2.0

package format

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remora-logs/remora/shared/declare"
	"github.com/remora-logs/remora/shared/record"
)

// Elasticsearch refuses a record in which one name is another's beginning: source beside source.address.
func TestNoNameOfASchemaIsAnObjectOfAnother(t *testing.T) {
	origin := []record.Tag{{Key: "host"}, {Key: "image"}, {Key: "container_id"}, {Key: "docker_app"}, {Key: "docker_service"}, {Key: "docker_container"}, {Key: "k8s_pod"},
		{Key: "k8s_pod_uid"}, {Key: "k8s_pod_namespace"}, {Key: "k8s_node_name"}, {Key: "k8s_container_name"}, {Key: "swarm_service"}, {Key: "swarm_task"}, {Key: "swarm_node_id"}}
	for name := range schemas {
		names := map[string]bool{}
		for format, server := range servers {
			d := declare.Declaration{Name: "a", Format: format, FormatOptions: map[string]string{"schema": name}}
			src := NewSource(d, "s", "/l", nil, origin)
			n := fieldNames(t, d, src, server)
			var enc record.Encoder
			r := record.Record{Source: src, Std: record.Stdout, Truncated: true, Line: []byte("x")}
			object := enc.AppendRecord(nil, &r)
			record.EachField(object[1:len(object)-1], func(key, _ []byte) bool {
				n[string(key)] = true
				return true
			})
			for key := range n {
				names[key] = true
			}
		}
		for a := range names {
			for b := range names {
				require.False(t, strings.HasPrefix(b, a+"."), "%s: %s and %s", name, a, b)
			}
		}
	}
}

// fieldNames are the names of all fields that the format of d makes.
func fieldNames(t *testing.T, d declare.Declaration, src *record.Source, server string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	schema := schemaOf(d)
	collect := func(key string) member {
		all[schema.field(server, key)] = true
		return ""
	}
	_, err := newAccess(collect)
	require.NoError(t, err)
	_, err = newApacheError(nil, collect)
	require.NoError(t, err)
	_, err = newNginxError(nil, collect)
	require.NoError(t, err)
	all[schema.member("parse_error")] = true
	return all
}
