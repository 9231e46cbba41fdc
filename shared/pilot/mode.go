// SPDX-License-Identifier: Apache-2.0

package pilot

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A mode is the program that log-pilot ran: filebeat or fluentd. It decides the shape of records and defaults of outputs.

// defaults are the settings that a mode has in place of our defaults: what log-pilot's outputs did without being asked.
var defaults = map[string]map[string]string{
	"filebeat": {
		"ELASTICSEARCH_TYPE_DEFAULT": "doc",
		"FILE_NAME":                  "filebeat",
		"REDIS_KEY":                  "filebeat",
	},
	"fluentd": {
		"ELASTICSEARCH_INDEX_TIME_ZONE": "Local",
		"ELASTICSEARCH_TYPE_DEFAULT":    "fluentd",
		"FILE_NAME":                     "{docker_app}/{docker_service}/{docker_container}/{declaration}.{yyyy-MM-dd}.log",
		"FILE_TIME_ZONE":                "Local",
	},
}

// modeOf returns the mode, and why where nothing names it. REMORA_COMPAT counts before PILOT_TYPE, which log-pilot's images
// set.
func modeOf(environ map[string]string, at files) (mode, why string) {
	if mode := cmp.Or(environ["REMORA_COMPAT"], environ["PILOT_TYPE"]); mode != "" {
		if defaults[mode] == nil {
			return "", "" // none, or what config refuses
		}
		return mode, ""
	}
	if !at.conclude {
		return "", ""
	}
	filebeat, fluentd := "", ""
	if environ["FILEBEAT_OUTPUT"] != "" {
		filebeat = "FILEBEAT_OUTPUT is set"
	} else if registry := filepath.Join(at.state, "registry"); exists(registry) {
		filebeat = registry + " is there"
	}
	if environ["FLUENTD_OUTPUT"] != "" {
		fluentd = "FLUENTD_OUTPUT is set"
	} else if exists(at.positions) {
		fluentd = at.positions + " is there"
	}
	switch {
	case filebeat != "" && fluentd != "": // log-pilot's own default
		return "filebeat", filebeat + " (and " + fluentd + ")"
	case filebeat != "":
		return "filebeat", filebeat
	case fluentd != "":
		return "fluentd", fluentd
	}
	return "", ""
}

func exists(path string) bool {
	if path == "" {
		return false
	}
	_, err := os.Stat(path)
	return err == nil
}

// defaultsOf returns what a mode sets of the variables that environ does not set.
func defaultsOf(mode string, environ map[string]string) map[string]string {
	set := map[string]string{}
	if mode == "" {
		return set
	}
	for name, value := range defaults[mode] {
		if environ[name] == "" && environ[name+"_FILE"] == "" {
			set[name] = value
		}
	}
	if hosts := withPorts(environ["ELASTICSEARCH_HOSTS"], cmp.Or(environ["ELASTICSEARCH_PORT"], "9200")); hosts != environ["ELASTICSEARCH_HOSTS"] {
		set["ELASTICSEARCH_HOSTS"] = hosts
	}
	return set
}

// withPorts gives URLs that have no port one: for Filebeat http://es meant port 9200. Credentials stay as they are written.
func withPorts(hosts, port string) string {
	all := strings.Split(hosts, ",")
	for i, host := range all {
		u, err := url.Parse(strings.TrimSpace(host))
		if err != nil || u.Host == "" || u.Port() != "" {
			continue
		}
		start := strings.Index(host, "://") + len("://")
		end := len(host)
		if n := strings.IndexAny(host[start:], "/?#"); n >= 0 {
			end = start + n
		}
		all[i] = strings.TrimRight(host[:end], " :") + ":" + port + host[end:]
	}
	return strings.Join(all, ",")
}

// Defaults returns the settings that a mode has in place of our defaults. The map is the caller's.
func Defaults(mode string) map[string]string { return maps.Clone(defaults[mode]) }

// Effects lists what REMORA_COMPAT changes, for people. environ is the environment after Adopt.
func Effects(environ map[string]string) []string {
	mode := environ["REMORA_COMPAT"]
	if defaults[mode] == nil {
		return nil
	}
	head := "REMORA_COMPAT=" + mode + ": "
	notes := []string{head + "every record has index and topic, the log's target, unless tags of these names are declared"}
	if mode == "filebeat" {
		notes = append(notes, head+"every record has beat.name, beat.hostname, beat.version and prospector.type")
	} else {
		notes = append(notes, head+"a line of stdout or stderr is in log, with its newline, and not in message",
			head+"every record has time beside @timestamp: UTC for stdout and stderr, local time without a zone for files",
			head+"access and error logs have fluentd's names (format.schema=fluentd) unless a schema is declared")
	}
	for _, name := range slices.Sorted(maps.Keys(defaults[mode])) {
		if value := environ[name]; value == defaults[mode][name] {
			notes = append(notes, fmt.Sprintf("%s%s is %s", head, name, value))
		} else {
			notes = append(notes, head+name+" is set and counts")
		}
	}
	return append(notes, head+"a URL in ELASTICSEARCH_HOSTS without a port means 9200, or ELASTICSEARCH_PORT")
}
