// SPDX-License-Identifier: Apache-2.0

// Package plugin serves the protocol between the engine and a log driver: LogDriver.* over a Unix socket (moby
// daemon/logger/proxy.go, daemon/logger/plugin.go).
package plugin

import "time"

// Info is the engine's description of a container (moby daemon/logger/loginfo.go). Its labels and environment may hold
// secrets: it is never logged or stored as a whole.
type Info struct {
	Config              map[string]string
	ContainerID         string
	ContainerName       string
	ContainerEntrypoint string
	ContainerArgs       []string
	ContainerImageID    string
	ContainerImageName  string
	ContainerCreated    time.Time
	ContainerEnv        []string
	ContainerLabels     map[string]string
	LogPath             string
	DaemonName          string
}

// ReadConfig is the query of docker logs (moby daemon/logger/logger.go).
type ReadConfig struct {
	// Since and Until bound the time of lines; zero means no bound.
	Since, Until time.Time
	// Tail is how many of the last lines to return; negative for all.
	Tail int
	// Follow continues with the lines that are written later.
	Follow bool
}

type startRequest struct {
	File string
	Info Info
}

type stopRequest struct{ File string }

type readRequest struct {
	Info   Info
	Config ReadConfig
}

// response is the answer to a request; an empty Err means success. The engine quotes Err in its own error.
type response struct{ Err string }

type capabilities struct {
	Cap struct{ ReadLogs bool }
	Err string
}
