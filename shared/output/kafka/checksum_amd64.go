// SPDX-License-Identifier: Apache-2.0

package kafka

import "golang.org/x/sys/cpu"

// foldable means that the processor can run foldWide: Intel since Ice Lake, AMD since Zen 4.
var foldable = cpu.X86.HasAVX512F && cpu.X86.HasAVX512VPCLMULQDQ

// foldWide folds p into left. The length of p must be a positive multiple of foldBlock. The result includes the initial state
// of a CRC, all ones.
//
//go:noescape
func foldWide(left *folded, p []byte)
