// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func markWide(m *marks, p []byte) (clean bool)
//
// Each turn takes 64 bytes, or what is left: a word of quotes, and 64 bytes behind it a word of blanks.
TEXT ·markWide(SB), NOSPLIT, $0-33
	MOVQ m+0(FP), DI
	MOVQ p_base+8(FP), SI
	MOVQ p_len+16(FP), CX
	MOVL $0x22, AX
	VPBROADCASTB AX, Z1             // quote
	MOVL $0x5c, AX
	VPBROADCASTB AX, Z2             // backslash
	MOVL $0x20, AX
	VPBROADCASTB AX, Z3             // blank
	MOVQ $-1, BX
	KXORQ K5, K5, K5                // what has to be escaped

turn:
	CMPQ  CX, $64
	JGE   whole
	BZHIQ CX, BX, BX                // none where nothing is left

whole:
	KMOVQ BX, K1
	VMOVDQU8.Z (SI), K1, Z0
	VPCMPEQB Z1, Z0, K1, K2
	VPCMPEQB Z3, Z0, K1, K3
	KMOVQ K2, (DI)
	KMOVQ K3, 64(DI)
	VPCMPB   $1, Z3, Z0, K1, K4     // signed: below 0x20, and from 0x80 on
	VPCMPEQB Z2, Z0, K1, K6
	KORQ  K4, K5, K5
	KORQ  K6, K5, K5
	ADDQ  $8, DI
	ADDQ  $64, SI
	SUBQ  $64, CX
	JG    turn

	KORTESTQ K5, K5
	SETEQ clean+32(FP)
	VZEROUPPER
	RET
