// SPDX-License-Identifier: Apache-2.0

package format

import "golang.org/x/sys/cpu"

// wide means that the processor can run markWide: Intel since Skylake-SP, AMD since Zen 4.
var wide = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasBMI2

// markWide sets m for p, which has at most maxMarked bytes, and reports whether p holds only printable ASCII and no backslash,
// so that nothing between two quotes has to be escaped in JSON.
//
//go:noescape
func markWide(m *marks, p []byte) (clean bool)
