// SPDX-License-Identifier: Apache-2.0

// Package pilot makes manifests of log-pilot work in which only the image was changed: its settings become ours, for every
// command of a binary. Names and defaults are those of log-pilot's entrypoint, config.filebeat and config.fluentd.
package pilot

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/remora-logs/remora/shared/config"
)

// pilotState is the directory in which log-pilot's manifests keep Filebeat's registry on the host.
const pilotState = "/var/lib/filebeat"

// renamed are log-pilot's variables that mean the same as one of ours.
var renamed = map[string]string{
	"KAFKA_BROKER_TIMEOUT": "KAFKA_TIMEOUT", "KAFKA_REQUIRED_ACKS": "KAFKA_REQUIRE_ACKS", "KAFKA_MAX_SEND_LIMIT_BYTES": "KAFKA_MAX_MESSAGE_BYTES",
}

// needless are log-pilot's variables that need no counterpart: what they set does not exist here, or sets itself.
var needless = []string{
	"PILOT_TYPE", "DOCKER_API_VERSION", "FILEBEAT_MAX_PROCS", "FILEBEAT_METRICS_ENABLED", "FILEBEAT_SHUTDOWN_TIMEOUT", "FLUENTD_WORKER",
	"FLUENTD_ENABLE_MONITOR",
}

// credentials are log-pilot's secrets: the file, and the variables that its two parts, with a colon between them, are for.
var credentials = []struct{ file, user, password string }{
	{"es_credential", "ELASTICSEARCH_USER", "ELASTICSEARCH_PASSWORD"},
	{"aliyun_access_key", "ALIYUNSLS_ACCESS_KEY_ID", "ALIYUNSLS_ACCESS_KEY_SECRET"},
}

// files are where things of log-pilot's may be mounted: its state of Filebeat and of fluentd, and secrets.
type files struct {
	state, positions, secrets string
	conclude                  bool // the mode from them
}

var places = files{state: pilotState, positions: "/pilot/pos", secrets: "/run/secrets"}

// without are log-pilot's variables that have no counterpart, and what to use instead; empty for nothing.
var without = map[string]string{
	"CONSOLE_PRETTY": "CONSOLE_FORMAT", "KAFKA_WORKER": "REMORA_WORKERS", "KAFKA_BULK_MAX_SIZE": "REMORA_BATCH_RECORDS and REMORA_BATCH_BYTES",
	"KAFKA_PARTITION": "KAFKA_PARTITION_KEY", "KAFKA_METADATA": "", "KAFKA_KEEP_ALIVE": "", "KAFKA_CHANNEL_BUFFER_SIZE": "", "KAFKA_OUTPUT_DATA_TYPE": "",
	"FILEBEAT_INDEX": "ELASTICSEARCH_INDEX", "FILEBEAT_LOG_LEVEL": "REMORA_LOG_LEVEL", "FLUENTD_LOG_LEVEL": "REMORA_LOG_LEVEL",
}

// outputs are names in log-pilot's LOGGING_OUTPUT that are not ours, and the nearest of ours.
var outputs = map[string]string{"stdout": "console", "count": "null", "flowcounter": "null"}

// oldKafka are versions that Filebeat took and the Kafka output does not, oldestKafka is the oldest that it takes.
var oldKafka = regexp.MustCompile(`^v?0\.([0-9]|10)(\.[0-9]+)*$`)

const oldestKafka = "0.11.0"

// translate returns the variables that log-pilot's settings in environ stand for, and what is to be said of the rest.
func translate(environ map[string]string, at files) (set map[string]string, warnings []string) {
	set = map[string]string{}
	if environ["REMORA_STATE_DIR"] == "" {
		if info, err := os.Stat(at.state); err == nil && info.IsDir() {
			set["REMORA_STATE_DIR"] = filepath.Join(at.state, "remora")
		}
	}
	for _, name := range []string{"FLUENTD_OUTPUT", "FILEBEAT_OUTPUT"} { // either overrides LOGGING_OUTPUT, where it is for the type
		kind, _, _ := strings.Cut(strings.ToLower(name), "_")
		if output := environ[name]; output != "" && (environ["PILOT_TYPE"] == "" || environ["PILOT_TYPE"] == kind) {
			set["LOGGING_OUTPUT"] = output
		}
	}
	output := environ["LOGGING_OUTPUT"]
	if set["LOGGING_OUTPUT"] != "" {
		output = set["LOGGING_OUTPUT"]
	}
	if ours, ok := outputs[output]; ok {
		set["LOGGING_OUTPUT"] = ours
		warnings = append(warnings, "the output "+output+" of log-pilot is not there: "+ours+" is used")
	}
	mode, why := modeOf(environ, at)
	if mode != environ["REMORA_COMPAT"] && mode != "" {
		set["REMORA_COMPAT"] = mode
	}
	if why != "" {
		warnings = append(warnings, "records have log-pilot's shape for "+mode+", because "+why+": set REMORA_COMPAT to "+mode+", or to none for Remora's own")
	}
	maps.Copy(set, defaultsOf(mode, environ))
	if oldKafka.MatchString(environ["KAFKA_VERSION"]) {
		set["KAFKA_VERSION"] = oldestKafka
		warnings = append(warnings, "KAFKA_VERSION "+environ["KAFKA_VERSION"]+" is only an upper bound of the protocol, as for Filebeat: "+oldestKafka+" is used; remove it to use what the brokers have")
	}
	for theirs, ours := range renamed {
		if environ[theirs] != "" && environ[ours] == "" {
			set[ours] = environ[theirs]
		}
	}
	for _, c := range credentials {
		content, err := os.ReadFile(filepath.Join(at.secrets, c.file))
		if err != nil {
			continue
		}
		user, password, ok := strings.Cut(strings.TrimSpace(string(content)), ":")
		if !ok {
			warnings = append(warnings, filepath.Join(at.secrets, c.file)+" is not of the form user:password and not used")
			continue
		}
		set[c.user], set[c.password] = user, password
	}
	return set, append(warnings, unused(environ)...)
}

func hasNone(name string) bool {
	_, known := without[name]
	return known
}

// unused names the variables of log-pilot's that have no effect.
func unused(environ map[string]string) (warnings []string) {
	for _, name := range slices.Sorted(maps.Keys(environ)) {
		switch {
		case environ[name] == "", slices.Contains(needless, name), name == "FILEBEAT_OUTPUT", name == "FLUENTD_OUTPUT":
		case without[name] != "":
			warnings = append(warnings, name+" has no effect: set "+without[name])
		case hasNone(name):
			warnings = append(warnings, name+" has no effect")
		case strings.HasPrefix(name, "FLUENTD_BUFFER_"), strings.HasPrefix(name, "FLUENTD_FLUSH_"), strings.HasPrefix(name, "FLUENTD_RETRY_"):
			warnings = append(warnings, name+" has no effect: only what is in flight is buffered, and retries never end")
		case name == "PILOT_CREATE_SYMLINK":
			warnings = append(warnings, name+" has no effect: no links to volumes are made below /acs/log")
		case strings.HasPrefix(name, "FILEBEAT_"), strings.HasPrefix(name, "FLUENTD_"):
			warnings = append(warnings, name+" has no effect")
		}
	}
	return warnings
}

// Adopt puts log-pilot's settings into the process's environment, where every command reads them, and returns what is to be
// said of them.
func Adopt() (warnings []string) { return adopt(places) }

// AdoptOnNode is Adopt for the agent that takes log-pilot's place on a node: where nothing names the mode, it is concluded
// from what log-pilot was set to and left behind.
func AdoptOnNode() (warnings []string) {
	at := places
	at.conclude = true
	return adopt(at)
}

func adopt(at files) (warnings []string) {
	set, warnings := translate(config.Environ(), at)
	for name, value := range set {
		if err := os.Setenv(name, value); err != nil { // a value with a NUL byte, as no environment can hold
			warnings = append(warnings, fmt.Sprintf("%s: %v", name, err))
		}
	}
	return warnings
}
