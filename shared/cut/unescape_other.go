// SPDX-License-Identifier: Apache-2.0

//go:build !amd64

package cut

// wide means that unescapeWide exists.
const wide = false

func unescapeWide(_, _ []byte) (read, written int) { return 0, 0 }
