// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"slices"
	"strings"

	"github.com/remora-logs/remora/shared/pilot"
)

// stateDir is the agent's default state directory, stateVolume the name of the volume that is added for it.
const (
	stateDir    = "/var/lib/remora"
	stateVolume = "remora-state"
)

// keepsState reports whether an existing mount can hold the agent's positions: the one of Filebeat's registry, or the agent's own.
// It adds a remark about where they are.
func (m *migration) keepsState(filebeat, remora bool) bool {
	switch {
	case remora:
		return true
	case filebeat:
		m.changed("positions are kept in /var/lib/filebeat/remora; at its first start the agent takes over those of Filebeat")
		return true
	default:
		m.changed("the volume " + stateVolume + " at " + stateDir + " keeps the agent's positions: without one everything is sent again after each restart")
		return false
	}
}

// describe adds remarks about what changes in records and their destinations.
func (m *migration) describe(mode, output string, e *environment) {
	add := func(text string) { m.records = append(m.records, text) }
	if mode != "" {
		environ := map[string]string{"REMORA_COMPAT": mode}
		for _, v := range e.all {
			if !v.gone {
				environ[v.name] = v.value
			}
		}
		for name, value := range pilot.Defaults(mode) {
			if environ[name] == "" {
				environ[name] = value
			}
		}
		for _, effect := range pilot.Effects(environ) {
			if effect = strings.TrimPrefix(effect, "REMORA_COMPAT="+mode+": "); concerns(effect, output) {
				add(effect)
			}
		}
	}
	add("@timestamp has nanoseconds; container_id, image, host and k8s_pod_uid are new members")
	add("source is the path that the container knows, without /host in front")
	switch mode {
	case "fluentd":
		add("positions of fluentd are not taken over: set REMORA_READ_FROM=end to begin with what is written from then on")
	case "filebeat":
		add("a line in the container's output has the path of the runtime's file as source")
	}
	outputs := strings.Split(output, ",")
	switch {
	case output == "" && e.find("LOGGING_OUTPUT") != nil: // its value is not in the manifest
	case output == "" || slices.Contains(outputs, "console"):
		add("records go to the agent's stdout")
	case slices.Contains(outputs, "elasticsearch"):
		add("index names are {target}-{yyyy.MM.dd} as before (ELASTICSEARCH_INDEX), and each document has an identity, so that none is stored twice")
	case slices.Contains(outputs, "kafka"):
		add("the topic is the target as before; the key is the stream, so that a log stays in one partition and in order")
	case slices.Contains(outputs, "file"):
		add("files are written below FILE_PATH in the agent's own file system, as log-pilot did")
	}
}

// concerns reports whether an effect of a setting applies to the output. An effect that names no output applies to all.
func concerns(effect, output string) bool {
	for prefix, of := range map[string]string{"FILE_": "file", "REDIS_": "redis", "ELASTICSEARCH_": "elasticsearch", "a URL in ELASTICSEARCH_": "elasticsearch"} {
		if strings.HasPrefix(effect, prefix) {
			return output == "" || slices.Contains(strings.Split(output, ","), of)
		}
	}
	return true
}
