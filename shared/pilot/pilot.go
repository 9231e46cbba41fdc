// SPDX-License-Identifier: Apache-2.0

// Package pilot makes manifests of log-pilot work in which only the image was changed: its settings become ours, for every
// command of a binary. Names and defaults are those of log-pilot's entrypoint, config.filebeat and config.fluentd.
package pilot

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/remora-logs/remora/shared/config"
)

// pilotState is the directory in which log-pilot's manifests keep Filebeat's registry on the host.
const pilotState = "/var/lib/filebeat"

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
	judged := mode
	if environ["REMORA_COMPAT"] != "" {
		judged = "" // it is no manifest of log-pilot's any more
	}
	for _, name := range slices.Sorted(maps.Keys(environ)) {
		if environ[name] == "" || name == "LOGGING_OUTPUT" || name == "FILEBEAT_OUTPUT" || name == "FLUENTD_OUTPUT" || name == "PILOT_TYPE" {
			continue // decided on above
		}
		v := Judge(name, environ[name], judged)
		if v.Name != "" && (v.Name != name && environ[v.Name] == "" || v.Name == name && v.Value != environ[name]) {
			set[v.Name] = v.Value
		}
		if v.Note != "" {
			warnings = append(warnings, name+" "+v.Note)
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
	return set, warnings
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
