// SPDX-License-Identifier: Apache-2.0

// Package containers describes the containers of a node and follows the inventories that list them: a Docker engine,
// containerd, a runtime's CRI, the API server, and the kubelet's directory of logs.
package containers

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Container is one container as an inventory reports it. A field that the inventory does not know is empty. Paths are those
// of the host, not those under which the agent sees the files.
type Container struct {
	// Runtime is the name of the inventory; ID identifies the container in it.
	Runtime, ID string
	// Namespace is containerd's; empty elsewhere. ID begins with it, since two namespaces may use the same container ID.
	Namespace string
	// Name is the container's name without a leading slash. Image is the reference that it was started from.
	Name, Image, ImageID string
	Labels               map[string]string
	// Env holds NAME=value pairs. It may contain secrets: it is neither stored on disk nor shown. Unresolved lists the
	// variables whose values the inventory cannot read.
	Env        []string
	Unresolved []string
	// Detailed reports that Labels and Env are known, so that declarations can be read from them.
	Detailed bool
	Running  bool
	// Waiting reports that the container was created but never started. It may still be renamed.
	Waiting bool
	Created time.Time
	// Exited is when it ended; zero while it runs or if the time is not known.
	Exited time.Time
	Pod    Pod
	Log    Log
	Files  Files
}

// BareID returns the ID as the runtime itself writes it, without the namespace.
func (c *Container) BareID() string {
	if c.Namespace == "" {
		return c.ID
	}
	return strings.TrimPrefix(c.ID, c.Namespace+"/")
}

// Pod is the Pod of a container; zero outside of Kubernetes.
type Pod struct {
	Namespace, Name, UID string
	Container            string // the container's name in it
	Labels, Annotations  map[string]string
	Owner                Owner
}

// Owner is the workload that a Pod belongs to: a Deployment, StatefulSet, DaemonSet, Job or CronJob.
type Owner struct{ Kind, Name string }

// Form is the format of a log file.
type Form int

// The formats of log files.
const (
	NoFile   Form = iota // the driver keeps no readable file
	CRI                  // the line format of CRI runtimes
	JSONFile             // Docker's json-file
	Local                // Docker's local
)

// Log describes where a container's output is stored.
type Log struct {
	// Driver is the runtime's name for it: json-file, local, journald; cri. For a logging binary of containerd's it is the
	// name of the program, and Options are the parameters of its URI.
	Driver  string
	Options map[string]string
	Form    Form
	// Dir is the directory of the log files; Pattern matches their names, rotated files included.
	Dir, Pattern string
}

// Files describes where a container's file system lies on the host.
type Files struct {
	// Upper is the directory that the container writes to; Lower are the layers below it, from top to bottom. Both are empty
	// if the root file system is no overlay or is not known.
	Upper string
	Lower []string
	// Mounts maps a path in the container to a directory or file of the host. It may map /, in place of Upper.
	Mounts map[string]string
	// Volumes are the host directories of volumes that are mounted by subPath. Another container that mounts more of such a
	// volume can create links in it.
	Volumes []string
	// Process is the ID of the container's first process; 0 if it does not run or the ID is not known.
	Process int
	// Hidden are paths in the container that have no directory on the host, such as a tmpfs.
	Hidden []string
}

// ErrGone is the error of Inspect for a container that no longer exists.
var ErrGone = errors.New("the container is gone")

// Inventory lists containers. Each request it makes has a deadline, so that only Watch runs for an unbounded time. Its methods
// may be called concurrently.
type Inventory interface {
	// Name returns the name of the inventory in settings and status.
	Name() string
	// List returns all containers, ended ones included. With a *TooLarge it returns all but those that the error names. With
	// an *Incomplete it returns those that it could list, and the others as it knew them before.
	List(ctx context.Context) ([]Container, error)
	// Inspect returns one container, or an error that wraps ErrGone.
	Inspect(ctx context.Context, id string) (Container, error)
	// Watch calls changed with the ID of each container that was started, ended, renamed or removed, until ctx ends or
	// its source of events fails; it returns that error. It first calls changed(""): a List made from then on, together with
	// later calls, misses nothing.
	Watch(ctx context.Context, changed func(id string)) error
}

// TooLarge is the error of a list that lacks containers whose descriptions exceed the limit.
type TooLarge struct{ IDs []string }

func (e *TooLarge) Error() string {
	return "what the runtime tells of it exceeds 16 MiB, containers " + strings.Join(e.IDs, ", ")
}

// Incomplete is the error of a list part of which could not be read.
type Incomplete struct{ Err error }

func (e *Incomplete) Error() string { return e.Err.Error() }

func (e *Incomplete) Unwrap() error { return e.Err }

// PodLogs matches the log files in the directory of a Pod's container: one for each attempt, and the rotated ones,
// compressed or not.
const PodLogs = "*.log{,.*}"
