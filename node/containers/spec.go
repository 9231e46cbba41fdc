// SPDX-License-Identifier: Apache-2.0

package containers

// Spec is the part of an OCI runtime specification (opencontainers/runtime-spec, JSON) that inventories read.
type Spec struct {
	Process struct {
		Env []string `json:"env"`
	} `json:"process"`
	Root struct {
		Path string `json:"path"`
	} `json:"root"`
	Mounts []struct {
		Destination string `json:"destination"`
		Type        string `json:"type"`
		Source      string `json:"source"`
	} `json:"mounts"`
}
