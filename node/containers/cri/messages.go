// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"encoding/json"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/remora-logs/remora/node/containers"
	"github.com/remora-logs/remora/node/containers/internal/grpc"
)

// This file decodes the messages of CRI v1 by field number (k8s.io/cri-api pkg/apis/runtime/v1/api.proto). Unknown fields are
// skipped.

// running is CONTAINER_RUNNING.
const running = 1

// listed is a Container of ListContainersResponse.
type listed struct {
	id, sandbox string
	running     bool
}

func decodeList(message []byte) (all []listed, err error) {
	err = grpc.Fields(message, func(field protowire.Number, _ uint64, container []byte) error {
		if field != 1 {
			return nil
		}
		var l listed
		err := grpc.Fields(container, func(field protowire.Number, number uint64, bytes []byte) error {
			switch field {
			case 1:
				l.id = string(bytes)
			case 2:
				l.sandbox = string(bytes)
			case 6:
				l.running = number == running
			}
			return nil
		})
		all = append(all, l)
		return err
	})
	return all, err
}

// status is a ContainerStatus with the part of the verbose information that is used.
type status struct {
	id, name, image, imageID, logPath string
	attempt, created                  uint64
	running                           bool
	labels                            map[string]string
	mounts                            map[string]string
	info                              info
}

// info is the JSON that containerd (internal/cri/server/container_status.go) and CRI-O (server/container_status.go) add to
// a verbose status.
type info struct {
	SandboxID   string           `json:"sandboxID"`
	Pid         int              `json:"pid"`
	RuntimeSpec *containers.Spec `json:"runtimeSpec"`
}

func decodeStatus(message []byte) (s status, err error) {
	var verbose map[string]string
	err = grpc.Fields(message, func(field protowire.Number, _ uint64, bytes []byte) error {
		switch field {
		case 1:
			return s.decode(bytes)
		case 2:
			return grpc.Pair(bytes, &verbose)
		}
		return nil
	})
	if text := verbose["info"]; err == nil && text != "" {
		err = json.Unmarshal([]byte(text), &s.info)
	}
	return s, err
}

func (s *status) decode(message []byte) error {
	return grpc.Fields(message, func(field protowire.Number, number uint64, bytes []byte) error {
		switch field {
		case 1:
			s.id = string(bytes)
		case 2: // metadata
			return grpc.Fields(bytes, func(field protowire.Number, number uint64, bytes []byte) error {
				switch field {
				case 1:
					s.name = string(bytes)
				case 2:
					s.attempt = number
				}
				return nil
			})
		case 3:
			s.running = number == running
		case 4:
			s.created = number
		case 8: // image
			return s.decodeImage(bytes)
		case 12:
			return grpc.Pair(bytes, &s.labels)
		case 14:
			return s.decodeMount(bytes)
		case 15:
			s.logPath = string(bytes)
		case 17:
			s.imageID = string(bytes)
		}
		return nil
	})
}

// decodeImage reads an ImageSpec. It prefers the image that the Pod's specification names to the one that the runtime resolved.
func (s *status) decodeImage(message []byte) error {
	const asSpecified = 18
	return grpc.Fields(message, func(field protowire.Number, _ uint64, bytes []byte) error {
		if field == 1 && s.image == "" || field == asSpecified && len(bytes) > 0 {
			s.image = string(bytes)
		}
		return nil
	})
}

func (s *status) decodeMount(message []byte) error {
	var inside, host string
	err := grpc.Fields(message, func(field protowire.Number, _ uint64, bytes []byte) error {
		switch field {
		case 1:
			inside = string(bytes)
		case 2:
			host = string(bytes)
		}
		return nil
	})
	if s.mounts == nil {
		s.mounts = map[string]string{}
	}
	if host != "" {
		s.mounts[inside] = host
	}
	return err
}

// sandbox is a PodSandboxStatus.
type sandbox struct {
	name, uid, namespace string
	labels, annotations  map[string]string
}

func decodeSandbox(message []byte) (s sandbox, err error) {
	err = grpc.Fields(message, func(field protowire.Number, _ uint64, bytes []byte) error {
		if field != 1 {
			return nil
		}
		return grpc.Fields(bytes, func(field protowire.Number, _ uint64, bytes []byte) error {
			switch field {
			case 2:
				return grpc.Fields(bytes, func(field protowire.Number, _ uint64, bytes []byte) error {
					switch field {
					case 1:
						s.name = string(bytes)
					case 2:
						s.uid = string(bytes)
					case 3:
						s.namespace = string(bytes)
					}
					return nil
				})
			case 7:
				return grpc.Pair(bytes, &s.labels)
			case 8:
				return grpc.Pair(bytes, &s.annotations)
			}
			return nil
		})
	})
	return s, err
}

// idRequest returns a ContainerStatusRequest or a PodSandboxStatusRequest.
func idRequest(id string, verbose bool) []byte {
	request := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), id)
	return protowire.AppendVarint(protowire.AppendTag(request, 2, protowire.VarintType), protowire.EncodeBool(verbose))
}
