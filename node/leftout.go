// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"

	"github.com/remora-logs/remora/shared/explain"
)

// imageVariable is set in each of Remora's images to its kind: node or sidecar.
const imageVariable = "REMORA_IMAGE"

// excludeKey is the annotation of a Pod, or the label of a container, that excludes it from collection.
const excludeKey = "remora.io/exclude"

// remoraImage returns the kind of Remora's image that the container runs, or "". It also checks the image's name, because some
// inventories do not know the image's environment.
func (v *view) remoraImage() string {
	for _, kv := range v.Env {
		if value, ok := strings.CutPrefix(kv, imageVariable+"="); ok {
			return value
		}
	}
	name := v.Image[strings.LastIndexByte(v.Image, '/')+1:]
	name, _, _ = strings.Cut(name, ":")
	name, _, _ = strings.Cut(name, "@")
	if kind, ok := strings.CutPrefix(name, "remora-"); ok && (kind == "node" || kind == "sidecar") {
		return kind
	}
	return ""
}

// leftOut returns why nothing is collected from a container, or "".
func (v *view) leftOut(self string) string {
	switch {
	case self != "" && v.BareID() == self:
		return "it is this agent"
	case v.remoraImage() == "node":
		return "it is an agent of Remora"
	case v.Pod.Annotations[excludeKey] == "true":
		return "its Pod is annotated " + excludeKey + ": \"true\""
	case v.Labels[excludeKey] == "true":
		return "it is labelled " + excludeKey + "=true"
	}
	return ""
}

// ownDeclarations reports whether the declarations in the container's labels and environment are for this agent. Those of a
// sidecar are for the sidecar itself.
func (v *view) ownDeclarations() bool { return v.remoraImage() != "sidecar" }

// loggerName is the name of the logging binary for containerd.
const loggerName = "remora-logger"

// captured reports whether the container's output is captured by a logging binary and delivered from its spool.
func (v *view) captured() bool { return v.Namespace != "" && v.Log.Driver == loggerName }

// noStdout returns why the container's output cannot be collected, or "" if it can or the reason is not known.
func (v *view) noStdout() string {
	if len(v.logs) > 0 {
		return ""
	}
	switch driver := v.Log.Driver; {
	case v.Namespace != "" && !v.Running && driver == "":
		return "" // not known: the task is gone
	case v.Namespace != "":
		return "nothing stores its output where it can be read: start it with --log-driver binary:///usr/local/bin/" + loggerName + " (nerdctl), or --log-uri (ctr)"
	case explain.IsRemora(driver):
		return "its log driver " + driver + " delivers its output already"
	case driver == "", driver == "json-file" && !v.Running:
		return "" // never started
	case driver == "none":
		return "its log driver is none: start it with --log-driver json-file or local"
	default:
		return "its log driver " + driver + " stores nothing that can be read: start it with --log-driver json-file or local, or use the plugin"
	}
}

// ownID returns the ID of the container that this process runs in, or "" if there is none or it is not known.
func ownID() string {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	return containerID(string(mounts))
}

// containerID returns a container's ID, 64 hexadecimal digits, from the source paths of /etc/hostname and /etc/resolv.conf, which
// every runtime mounts into a container.
func containerID(mountinfo string) string {
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 || fields[4] != "/etc/hostname" && fields[4] != "/etc/resolv.conf" {
			continue
		}
		for part := range strings.SplitSeq(fields[3], "/") {
			if len(part) == 64 && strings.Trim(part, "0123456789abcdef") == "" {
				return part
			}
		}
	}
	return ""
}
