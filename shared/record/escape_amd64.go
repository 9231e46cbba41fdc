// SPDX-License-Identifier: Apache-2.0

package record

import "golang.org/x/sys/cpu"

// wide means that the processor can run escapeWide: Intel since Ice Lake, AMD since Zen 4.
var wide = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512VBMI2 &&
	cpu.X86.HasBMI1 && cpu.X86.HasBMI2 && cpu.X86.HasPOPCNT

// escapeWide copies printable ASCII from p to dst, with a backslash before each quote and backslash. It stops at the first
// other byte, or if dst has no room for 64 more bytes. It may overwrite up to 64 bytes of dst behind what it has written.
//
//go:noescape
func escapeWide(dst, p []byte) (read, written int)
