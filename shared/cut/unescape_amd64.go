// SPDX-License-Identifier: Apache-2.0

package cut

import "golang.org/x/sys/cpu"

// wide means that the processor can run unescapeWide: Intel since Ice Lake, AMD since Zen 4.
var wide = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VBMI2 && cpu.X86.HasBMI1 && cpu.X86.HasBMI2 &&
	cpu.X86.HasPOPCNT

// unescapeWide copies p to dst, without the backslash before each quote, up to the first control character, quote without a
// backslash, or backslash before something else, or while dst has room for 64 bytes. What lies in dst behind what was written,
// up to 64 bytes, means nothing.
//
//go:noescape
func unescapeWide(dst, p []byte) (read, written int)
