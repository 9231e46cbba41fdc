// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func unescapeWide(dst, p []byte) (read, written int)
//
// Each turn takes 64 bytes, or what is left, or what lies before a byte that it must not take: a control character, a quote
// without a backslash before it, a backslash without a quote behind it. VPCOMPRESSB takes the backslashes out. A backslash in
// the last place, whose quote is not in sight, is left for the next turn.
TEXT ·unescapeWide(SB), NOSPLIT, $0-64
	MOVQ dst_base+0(FP), DI
	MOVQ dst_len+8(FP), R8
	MOVQ p_base+24(FP), SI
	MOVQ p_len+32(FP), CX
	MOVQ DI, R9                     // begin of dst
	MOVQ SI, R10                    // begin of p
	LEAQ -64(DI)(R8*1), R8          // the last place that a turn may write to
	MOVL $0x22, AX
	VPBROADCASTB AX, Z1             // quote
	MOVL $0x5c, AX
	VPBROADCASTB AX, Z2             // backslash
	MOVL $0x20, AX
	VPBROADCASTB AX, Z4
	MOVL $64, R13

turn:
	TESTQ CX, CX
	JZ    done
	CMPQ  DI, R8
	JA    done
	CMPQ  CX, R13
	MOVQ  R13, DX
	CMOVQLT CX, DX                  // bytes of this turn
	MOVQ  $-1, BX
	BZHIQ DX, BX, BX
	KMOVQ BX, K1
	VMOVDQU8.Z (SI), K1, Z0
	VPCMPUB  $1, Z4, Z0, K1, K4     // below 0x20
	VPCMPEQB Z1, Z0, K1, K2
	VPCMPEQB Z2, Z0, K1, K3
	KMOVQ K2, R11                   // quotes
	KMOVQ K3, R12                   // backslashes
	KMOVQ K4, AX
	LEAQ  (R12)(R12*1), R14         // what follows a backslash
	MOVQ  R11, R15
	SHRQ  $1, R15                   // what precedes a quote
	ANDNQ R11, R14, R14             // quotes without a backslash
	ANDNQ R12, R15, R15             // backslashes without a quote
	ORQ   R14, AX
	ORQ   R15, AX
	JZ    take

	TZCNTQ AX, DX                   // take what lies before it
	TESTQ  DX, DX
	JZ     done
	BZHIQ  DX, BX, BX

take:
	ANDNQ BX, R12, BX               // all but the backslashes
	KMOVQ BX, K5
	VPCOMPRESSB.Z Z0, K5, Z5
	VMOVDQU64 Z5, (DI)
	POPCNTQ BX, BX
	ADDQ    BX, DI
	ADDQ    DX, SI
	SUBQ    DX, CX
	JMP     turn

done:
	SUBQ R9, DI
	SUBQ R10, SI
	MOVQ SI, read+48(FP)
	MOVQ DI, written+56(FP)
	VZEROUPPER
	RET
