// SPDX-License-Identifier: Apache-2.0

//go:build !amd64

package record

// wide means that escapeWide exists.
const wide = false

func escapeWide(_, _ []byte) (read, written int) { return 0, 0 }
