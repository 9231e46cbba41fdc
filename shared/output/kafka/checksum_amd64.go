// SPDX-License-Identifier: Apache-2.0

package kafka

import "golang.org/x/sys/cpu"

// foldable means that the processor can run foldWide: Intel since Ice Lake, AMD since Zen 4.
var foldable = cpu.X86.HasAVX512F && cpu.X86.HasAVX512VPCLMULQDQ

// foldWide folds p into left: p's length is a multiple of foldBlock, and not 0. The initial state of a CRC, all ones, is
// taken into it.
//
//go:noescape
func foldWide(left *folded, p []byte)
