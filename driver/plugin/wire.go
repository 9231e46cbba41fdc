// SPDX-License-Identifier: Apache-2.0

// Package plugin speaks the engine's side of a log driver: LogDriver.* over a unix socket (moby
// daemon/logger/proxy.go, daemon/logger/plugin.go).
package plugin

import "time"

// Info is what the engine tells about a container (moby daemon/logger/loginfo.go). Its labels and environment may hold
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

// ReadConfig is what docker logs asks for (moby daemon/logger/logger.go).
type ReadConfig struct {
	// Since and Until bound the time of lines; zero where there is no bound.
	Since, Until time.Time
	// Tail is how many of the last lines are wanted; negative for all.
	Tail int
	// Follow asks for what will be written, too.
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

// response answers each request; an empty Err is success. The engine takes the text as the reason of its own error.
type response struct{ Err string }

type capabilities struct {
	Cap struct{ ReadLogs bool }
	Err string
}
