// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"

	"github.com/remora-logs/remora/shared/explain"
)

// imageVariable is set in each of Remora's images and says which of them it is: node or sidecar.
const imageVariable = "REMORA_IMAGE"

// excludeKey is the annotation of a Pod, or the label of a container, with which nothing of it is collected.
const excludeKey = "remora.io/exclude"

// remoraImage is what the container's image says it is; empty where it is none of Remora's. An inventory that does not
// know the image's environment knows its name.
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

// leftOut is why nothing of a container is collected; empty where something may be.
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

// ownDeclarations reports whether the container's labels and environment declare what this agent is to collect. A
// sidecar's declare what the sidecar does.
func (v *view) ownDeclarations() bool { return v.remoraImage() != "sidecar" }

// loggerName is the program that captures the output of containerd's containers.
const loggerName = "remora-logger"

// captured reports whether the container's output is in the spool of logging binaries, and delivered from there.
func (v *view) captured() bool { return v.Namespace != "" && v.Log.Driver == loggerName }

// noStdout is why the container's output can't be collected; empty where it can.
func (v *view) noStdout() string {
	if len(v.logs) > 0 {
		return ""
	}
	switch driver := v.Log.Driver; {
	case v.Namespace != "" && !v.Running && driver == "":
		return "" // nobody knows where it went
	case v.Namespace != "":
		return "nothing stores its output where it can be read: start it with --log-driver binary:///usr/local/bin/" + loggerName + " (nerdctl), or --log-uri (ctr)"
	case explain.IsRemora(driver):
		return "its log driver " + driver + " delivers its output already"
	case driver == "", driver == "json-file" && !v.Running:
		return "" // it was never started
	case driver == "none":
		return "its log driver is none: start it with --log-driver json-file or local"
	default:
		return "its log driver " + driver + " stores nothing that can be read: start it with --log-driver json-file or local, or use the plugin"
	}
}

// ownID is the ID of the container that this process runs in, from where its files are mounted; empty where it is in none,
// or that can't be told.
func ownID() string {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	return containerID(string(mounts))
}

// containerID finds a container's ID, 64 hexadecimal digits, in the sources of the files that every runtime mounts into a
// container.
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
