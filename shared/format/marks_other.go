// SPDX-License-Identifier: Apache-2.0

//go:build !amd64

package format

// wide means that markWide exists.
const wide = false

func markWide(_ *marks, _ []byte) (clean bool) { return false }
