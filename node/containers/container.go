// SPDX-License-Identifier: Apache-2.0

// Package containers holds what a node agent knows of a container, and follows the inventories that tell it: a Docker
// engine, containerd, a runtime's CRI, the API server, and the kubelet's directory of logs.
package containers

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Container is one container as an inventory knows it: data only. What an inventory does not know is empty. Paths are the
// machine's own, not as the agent sees them.
type Container struct {
	// Runtime is the inventory's name; ID the container's in it.
	Runtime, ID string
	// Namespace is containerd's; empty elsewhere. Two namespaces may have containers of one name, so that ID begins with it.
	Namespace string
	// Name is the name that people know it by, without a slash in front. Image is what it was started as.
	Name, Image, ImageID string
	Labels               map[string]string
	// Env is NAME=value. It may hold secrets: it is read, and neither kept on disk nor shown. Unresolved are the names of
	// variables whose value the inventory may not know.
	Env        []string
	Unresolved []string
	// Detailed says that the inventory was able to tell labels and environment, so that declarations can be read.
	Detailed bool
	Running  bool
	// Waiting says that it was never started, and may have another name when it is.
	Waiting bool
	Created time.Time
	// Exited is when it ended; zero while it runs, and where that is not known.
	Exited time.Time
	Pod    Pod
	Log    Log
	Files  Files
}

// BareID is the ID as the runtime itself writes it.
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

// Owner is who made a Pod: Deployment, StatefulSet, DaemonSet, Job, CronJob.
type Owner struct{ Kind, Name string }

// Form is how a log file is written.
type Form int

// The forms of log files.
const (
	NoFile   Form = iota // the driver keeps none that can be read
	CRI                  // lines of a runtime for the kubelet
	JSONFile             // Docker's json-file
	Local                // Docker's local
)

// Log is where a container's output is stored.
type Log struct {
	// Driver is the runtime's word: json-file, local, journald; cri. Of a logging binary of containerd's it is the program, and
	// Options are the parameters of its URI.
	Driver  string
	Options map[string]string
	Form    Form
	// Dir is the directory, and Pattern what the files' names in it look like, rotated ones too.
	Dir, Pattern string
}

// Files is a container's file system as it lies on the machine.
type Files struct {
	// Upper is the directory that the container writes to, Lower are those below it, from top to bottom; empty where the
	// root file system is no overlay, or not known.
	Upper string
	Lower []string
	// Mounts leads from a path in the container to a directory or file of the machine. The path may be /, in place of Upper.
	Mounts map[string]string
	// Volumes are the directories of the machine that hold what is mounted of a volume in part. Whoever has more of the
	// volume can make links in them.
	Volumes []string
	// Process is the container's first process; 0 where it does not run or is not known.
	Process int
	// Hidden are paths in the container whose content has no place on the machine: a tmpfs.
	Hidden []string
}

// ErrGone is the error of Inspect for a container that is not there any more.
var ErrGone = errors.New("the container is gone")

// Inventory is where containers are found. Each request it makes has a deadline, so that none of its methods but Watch
// takes longer than half a minute. Its methods are called by one goroutine, Watch by another.
type Inventory interface {
	// Name is that of the inventory in settings and status.
	Name() string
	// List returns all containers that there are, ended ones too. With a *TooLarge it returns all but those that this names, with
	// an *Incomplete those that it could list, and as they were those that it knew before and could not.
	List(ctx context.Context) ([]Container, error)
	// Inspect returns one, or ErrGone.
	Inspect(ctx context.Context, id string) (Container, error)
	// Watch calls changed with the ID of each container that was started, ended, renamed or removed, until ctx ends or
	// its source of changes breaks, which is its error. It begins with changed(""): what is listed from then on misses
	// nothing.
	Watch(ctx context.Context, changed func(id string)) error
}

// TooLarge is the error of a list without containers of which the runtime tells more than is read of one.
type TooLarge struct{ IDs []string }

func (e *TooLarge) Error() string {
	return "what the runtime tells of it exceeds 16 MiB, containers " + strings.Join(e.IDs, ", ")
}

// Incomplete is the error of a list of which a part could not be had.
type Incomplete struct{ Err error }

func (e *Incomplete) Error() string { return e.Err.Error() }

func (e *Incomplete) Unwrap() error { return e.Err }

// PodLogs is what the names of log files in the directory of a Pod's container look like: those of each attempt, and
// rotated ones, compressed ones too.
const PodLogs = "*.log{,.*}"
