// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func foldWide(left *folded, p []byte)
//
// Bytes are polynomials whose first bit is the highest power, and lie reflected: the lowest bit of the lowest byte comes
// first. Half a lane of 128 bits moves 2048 bits on, over its product with x^2080 (the first half, which is 64 bits
// further away) or x^2016 modulo the CRC's polynomial. The product of reflected numbers is one bit short, so that the
// constants are shifted by one: bits.Reverse32(x^n mod P) << 1.
TEXT ·foldWide(SB), NOSPLIT, $0-32
	MOVQ left+0(FP), DI
	MOVQ p_base+8(FP), SI
	MOVQ p_len+16(FP), CX
	MOVQ $0xdcb17aa4, AX            // x^2080
	MOVQ $0xb9e02b86, BX            // x^2016
	VMOVQ AX, X8
	VPINSRQ $1, BX, X8, X8
	VSHUFI64X2 $0, Z8, Z8, Z8       // in each lane
	VMOVDQU64 (SI), Z0
	VMOVDQU64 64(SI), Z1
	VMOVDQU64 128(SI), Z2
	VMOVDQU64 192(SI), Z3
	MOVL $0xffffffff, AX            // the initial state
	VMOVD AX, X4
	VPXORQ Z4, Z0, Z0

turn:
	ADDQ $256, SI
	SUBQ $256, CX
	JZ   done
	VPCLMULQDQ $0x00, Z8, Z0, Z4
	VPCLMULQDQ $0x11, Z8, Z0, Z0
	VPCLMULQDQ $0x00, Z8, Z1, Z5
	VPCLMULQDQ $0x11, Z8, Z1, Z1
	VPCLMULQDQ $0x00, Z8, Z2, Z6
	VPCLMULQDQ $0x11, Z8, Z2, Z2
	VPCLMULQDQ $0x00, Z8, Z3, Z7
	VPCLMULQDQ $0x11, Z8, Z3, Z3
	VPTERNLOGQ $0x96, (SI), Z4, Z0  // all three, added
	VPTERNLOGQ $0x96, 64(SI), Z5, Z1
	VPTERNLOGQ $0x96, 128(SI), Z6, Z2
	VPTERNLOGQ $0x96, 192(SI), Z7, Z3
	JMP  turn

done:
	VMOVDQU64 Z0, (DI)
	VMOVDQU64 Z1, 64(DI)
	VMOVDQU64 Z2, 128(DI)
	VMOVDQU64 Z3, 192(DI)
	VZEROUPPER
	RET
