// SPDX-License-Identifier: Apache-2.0

package record

import "golang.org/x/sys/cpu"

// wide means that the processor can run escapeWide: Intel since Ice Lake, AMD since Zen 4.
var wide = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512VBMI2 &&
	cpu.X86.HasBMI1 && cpu.X86.HasBMI2 && cpu.X86.HasPOPCNT

// escapeWide copies printable ASCII of p to dst, a backslash before each quote and backslash, up to the first other byte or
// while dst has room for 64 bytes. What lies in dst behind what was written, up to 64 bytes, means nothing.
//
//go:noescape
func escapeWide(dst, p []byte) (read, written int)
