// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"encoding/json"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/remora-logs/remora/node/containers"
	"github.com/remora-logs/remora/node/containers/internal/grpc"
)

// This file decodes the messages of containerd's services by field number (containerd/containerd api/services, api/types,
// api/events). The numbers are unchanged since 1.0. Unknown fields are skipped.

// decodeNamespaces reads a ListNamespacesResponse.
func decodeNamespaces(message []byte) (names []string, err error) {
	err = grpc.Fields(message, func(field protowire.Number, _ uint64, namespace []byte) error {
		if field != 1 {
			return nil
		}
		return grpc.Fields(namespace, func(field protowire.Number, _ uint64, bytes []byte) error {
			if field == 1 {
				names = append(names, string(bytes))
			}
			return nil
		})
	})
	return names, err
}

// record is a Container as containerd stores it.
type record struct {
	id, image, snapshotter, snapshot string
	labels                           map[string]string
	created                          time.Time
	updated                          string // the encoded Timestamp, which is only compared
	spec                             []byte
}

// decodeRecord reads a ListContainerMessage or a GetContainerResponse.
func decodeRecord(message []byte) (r record, err error) {
	err = grpc.Fields(message, func(field protowire.Number, _ uint64, bytes []byte) error {
		if field == 1 {
			return r.decode(bytes)
		}
		return nil
	})
	if err == nil && r.id == "" {
		err = grpc.ErrMessage
	}
	return r, err
}

func (r *record) decode(message []byte) error {
	return grpc.Fields(message, func(field protowire.Number, _ uint64, bytes []byte) (err error) {
		switch field {
		case 1:
			r.id = string(bytes)
		case 2:
			return grpc.Pair(bytes, &r.labels)
		case 3:
			r.image = string(bytes)
		case 5:
			r.spec, err = anyValue(bytes)
		case 6:
			r.snapshotter = string(bytes)
		case 7:
			r.snapshot = string(bytes)
		case 8:
			r.created, err = decodeTime(bytes)
		case 9:
			r.updated = string(bytes)
		}
		return err
	})
}

// anyValue returns the value of an Any.
func anyValue(message []byte) (value []byte, err error) {
	err = grpc.Fields(message, func(field protowire.Number, _ uint64, bytes []byte) error {
		if field == 2 {
			value = bytes
		}
		return nil
	})
	return value, err
}

// decodeTime reads a Timestamp.
func decodeTime(message []byte) (time.Time, error) {
	var seconds, nanoseconds uint64
	err := grpc.Fields(message, func(field protowire.Number, number uint64, _ []byte) error {
		switch field {
		case 1:
			seconds = number
		case 2:
			nanoseconds = number
		}
		return nil
	})
	return time.Unix(int64(seconds), int64(nanoseconds)), err
}

// idOf returns the container's ID from the beginning of a ListContainerMessage. containerd writes the ID first.
func idOf(beginning []byte) string {
	for range 2 { // the container's field, then the ID's
		field, kind, n := protowire.ConsumeTag(beginning)
		if n < 0 || field != 1 || kind != protowire.BytesType {
			return ""
		}
		size, m := protowire.ConsumeVarint(beginning[n:])
		if m < 0 {
			return ""
		}
		beginning = beginning[n+m:]
		if size <= uint64(len(beginning)) {
			beginning = beginning[:size]
		}
	}
	const longest = 255 // containerd refuses longer ones
	return string(beginning[:min(len(beginning), longest)])
}

// decodeSpec decodes the record's specification. The result is empty if it is malformed: what the labels declare is still
// collected.
func (r *record) decodeSpec() (s containers.Spec) {
	if json.Unmarshal(r.spec, &s) != nil {
		return containers.Spec{}
	}
	return s
}

// task is the Process message of a container's first process.
type task struct {
	id, stdout string
	pid        int
	running    bool
	exited     time.Time // zero while the task runs
}

// The states of a task that does not run (api/types/task, Status). A task whose shim does not answer has an unknown state and
// counts as running.
const (
	taskCreated = 1
	taskStopped = 3
)

// decodeTasks reads a ListTasksResponse or a GetResponse. Older versions set only the task's own ID, which is the container's.
func decodeTasks(message []byte) (all []task, err error) {
	err = grpc.Fields(message, func(field protowire.Number, _ uint64, process []byte) error {
		if field != 1 {
			return nil
		}
		t := task{running: true}
		err := grpc.Fields(process, func(field protowire.Number, number uint64, bytes []byte) (err error) {
			switch field {
			case 1, 2:
				if len(bytes) > 0 {
					t.id = string(bytes)
				}
			case 3:
				t.pid = int(uint32(number))
			case 4:
				t.running = number != taskStopped && number != taskCreated
			case 6:
				t.stdout = string(bytes)
			case 10:
				t.exited, err = decodeTime(bytes)
			}
			return err
		})
		if t.running {
			t.exited = time.Time{}
		}
		all = append(all, t)
		return err
	})
	return all, err
}

// decodeMounts reads the first mount of a MountsResponse: its type, source and options.
func decodeMounts(message []byte) (kind, source string, options []string, err error) {
	first := true
	err = grpc.Fields(message, func(field protowire.Number, _ uint64, mount []byte) error {
		if field != 1 || !first {
			return nil
		}
		first = false
		return grpc.Fields(mount, func(field protowire.Number, _ uint64, bytes []byte) error {
			switch field {
			case 1:
				kind = string(bytes)
			case 2:
				source = string(bytes)
			case 4:
				options = append(options, string(bytes))
			}
			return nil
		})
	})
	return kind, source, options, err
}

// event is the part of an Envelope and its event that is used.
type event struct{ namespace, container, process string }

func decodeEvent(message []byte) (e event, err error) {
	var topic string
	var value []byte
	err = grpc.Fields(message, func(field protowire.Number, _ uint64, bytes []byte) (err error) {
		switch field {
		case 2:
			e.namespace = string(bytes)
		case 3:
			topic = string(bytes)
		case 4:
			value, err = anyValue(bytes)
		}
		return err
	})
	if err != nil {
		return e, err
	}
	err = grpc.Fields(value, func(field protowire.Number, _ uint64, bytes []byte) error {
		switch {
		case field == 1: // in events of containers and of tasks
			e.container = string(bytes)
		case field == 2 && topic == taskExit:
			e.process = string(bytes)
		}
		return nil
	})
	return e, err
}

// text returns a message with one string field.
func text(field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, field, protowire.BytesType), s)
}

// output returns what receives a container's output, given the URI that its task was started with: the name and the
// parameters of a logging binary, or else the URI's scheme. A bare path is a pipe that the client reads; output then returns
// the zero Log.
func output(stdout string) containers.Log {
	u, err := url.Parse(stdout)
	if err != nil || u.Scheme == "" {
		return containers.Log{}
	}
	if !strings.HasPrefix(u.Scheme, "binary") {
		return containers.Log{Driver: u.Scheme}
	}
	l := containers.Log{Driver: filepath.Base(u.Path)}
	for name, values := range u.Query() {
		if l.Options == nil {
			l.Options = map[string]string{}
		}
		l.Options[name] = values[0] // as the shim passes them
	}
	return l
}
