// SPDX-License-Identifier: Apache-2.0

// Package tail reads the files that applications write. It finds them, tells them apart whatever happens to their names, and
// provides each as a stream of bytes that survives rotation, truncation and restarts.
//
// # Origins
//
// Files belong to an origin: the Pod of a sidecar, or one container of a node. An origin has a root, in which the paths that its
// writer knows are resolved, and selections, one for each declaration. It is put, and put again when it changes. It ends when its
// writer is gone, or is withdrawn when its files are no longer wanted. Origins do not affect each other.
//
// # Generations
//
// A generation is the content of one inode from its creation, or a truncation, to the next truncation. It has a stream, whose key
// is never reused for other bytes, and a fingerprint: a hash of its beginning, and the bytes before the offset up to which it was
// read. The fingerprint finds it again, in its inode, in a copy, or in a compressed file.
//
// A generation is in one of these states. Each column is an event, and each cell the state that follows. A dot leaves the state
// unchanged.
//
//	           | Selected | Unselected | Unlinked | Vanished  | Left       | Copied  | GivenUp    | Ended | Returned | Parked | Expired
//	Stored     | Active   | .          | .        | .         | .          | Rotated | .          | .     | .        | .      | Forgotten
//	Active     | .        | Rotated    | .        | Searching | Remembered | .       | Remembered | Held  | .        | Stored | .
//	Rotated    | Active   | .          | Held     | Searching | Remembered | .       | Remembered | Held  | .        | Stored | .
//	Held       | Active   | .          | .        | Searching | Remembered | .       | Remembered | .     | Rotated  | Stored | .
//	Searching  | .        | .          | .        | .         | .          | Rotated | Remembered | .     | .        | .      | .
//	Remembered | .        | .          | .        | .         | .          | Rotated | .          | .     | .        | .      | Forgotten
//
// The handle of a file does not depend on the state alone. It may be closed, to save descriptors, while the generation is Active
// or Rotated and has a name to open it by. It is never closed while it is the only way to unread bytes. It is always closed in
// Stored, Searching and Remembered.
//
// # Steps
//
// The tailer works in steps. A step takes the requests since the last one, and then runs a step of each origin. That observes the
// files that are due, scans the directories within a budget if they are due, classifies the candidates that the scans found, and
// advances each active generation. classify is the only place that decides what a file is.
//
// The step of an origin runs in a worker's goroutine and holds the origin's lock. Normally one step follows the other. If a file
// system does not answer, its origin's step continues alone, and the others do not wait for it. Calls that return the status, or
// change an origin, do not wait for the step of an origin.
package tail
