// SPDX-License-Identifier: Apache-2.0

package cut

import "golang.org/x/sys/cpu"

// wide means that the processor can run unescapeWide: Intel since Ice Lake, AMD since Zen 4.
var wide = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VBMI2 && cpu.X86.HasBMI1 && cpu.X86.HasBMI2 &&
	cpu.X86.HasPOPCNT

// unescapeWide copies p to dst without the backslash before each quote. It stops at the first control character, quote without
// a backslash or backslash before another character, or if dst has no room for 64 more bytes. It may overwrite up to 64 bytes
// of dst behind what it has written.
//
//go:noescape
func unescapeWide(dst, p []byte) (read, written int)
