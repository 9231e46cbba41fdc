// SPDX-License-Identifier: Apache-2.0

// Package tail reads the files that applications write. It finds them, tells them apart whatever is done to their names,
// and offers each as a stream of bytes that survives rotation, truncation and restarts.
//
// # Origins
//
// Files belong to an origin: the Pod of a sidecar, or one container of a node. An origin has a root, in which the paths
// that its writer knows are resolved, and selections, one for each declaration. It is put, and put again when it
// changes; it ends when its writer is gone; or it is withdrawn when nobody wants it. What happens to one origin touches
// no other.
//
// # Generations
//
// What one inode holds from its creation, or its last truncation, to the next is a generation. It has a stream, whose key
// is never given to other bytes, and a fingerprint: a hash of how it begins, and the bytes before the offset up to which
// it was read. By that it is found again, in its inode, in a copy, or in a compressed file.
//
// A generation is in one of these states. A column is an event, a cell the state that follows; a dot leaves the state as
// it is.
//
//	           | Selected | Unselected | Unlinked | Vanished  | Left       | Copied  | GivenUp    | Ended | Returned | Parked | Expired
//	Stored     | Active   | .          | .        | .         | .          | Rotated | .          | .     | .        | .      | Forgotten
//	Active     | .        | Rotated    | .        | Searching | Remembered | .       | Remembered | Held  | .        | Stored | .
//	Rotated    | Active   | .          | Held     | Searching | Remembered | .       | Remembered | Held  | .        | Stored | .
//	Held       | Active   | .          | .        | Searching | Remembered | .       | Remembered | .     | Rotated  | Stored | .
//	Searching  | .        | .          | .        | .         | .          | Rotated | Remembered | .     | .        | .      | .
//	Remembered | .        | .          | .        | .         | .          | Rotated | .          | .     | .        | .      | Forgotten
//
// The handle of a file is another matter. It may be closed, to save descriptors, while the generation is Active or
// Rotated and has a name to be opened by; it is never closed while it is the only way to unread bytes; and it is always
// closed in Stored, Searching and Remembered.
//
// # Steps
//
// All of this is done in steps. A step takes what was asked for since the last one, and then makes a step of each origin:
// that observes the files that are due; scans the directories if they are due, within a budget; classifies the candidates
// that the scans found; and takes each active generation one step further through its life. classify is the one place
// that decides what a file is.
//
// The step of an origin runs in a goroutine of its own and holds the origin's lock. Normally one follows the other. Where a
// file system does not answer, its origin's step continues alone, and the others do not wait. Nobody who asks for the
// status, or changes an origin, waits for a step.
package tail
