// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func escapeWide(dst, p []byte) (read, written int)
//
// Each turn takes 32 bytes, or what is left, or what lies before a byte that is neither printable ASCII nor follows from
// it. A byte becomes a pair, a backslash and itself; VPCOMPRESSB takes the backslash of those that need none out again.
// PDEP spreads the mask of those that do over the even places of the pairs.
TEXT ·escapeWide(SB), NOSPLIT, $0-64
	MOVQ dst_base+0(FP), DI
	MOVQ dst_len+8(FP), R8
	MOVQ p_base+24(FP), SI
	MOVQ p_len+32(FP), CX
	MOVQ DI, R9                     // begin of dst
	MOVQ SI, R10                    // begin of p
	LEAQ -64(DI)(R8*1), R8          // the last place that a turn may write to
	// The next lines lie behind this one, and were read so long ago that they are in no near cache. A prefetch of what is
	// not there does nothing.
	PREFETCHT0 1024(SI)
	PREFETCHT0 1088(SI)
	PREFETCHT0 1152(SI)
	MOVL $0x22, AX
	VPBROADCASTB AX, Y1             // quote
	MOVL $0x5c, AX
	VPBROADCASTB AX, Y2             // backslash
	VPBROADCASTW AX, Z3             // backslash in the first place of each pair
	MOVL $0x20, AX
	VPBROADCASTB AX, Y4
	MOVQ $0x5555555555555555, R11
	MOVQ $0xaaaaaaaaaaaaaaaa, R12
	MOVL $32, R13

turn:
	TESTQ CX, CX
	JZ    done
	CMPQ  DI, R8
	JA    done
	CMPQ  CX, R13
	MOVQ  R13, DX
	CMOVQLT CX, DX                  // bytes of this turn
	MOVL  $-1, BX
	BZHIL DX, BX, BX
	KMOVD BX, K1
	VMOVDQU8.Z (SI), K1, Y0
	VPCMPB   $1, Y4, Y0, K1, K4     // signed: below 0x20, and from 0x80 on
	VPCMPEQB Y1, Y0, K1, K2
	VPCMPEQB Y2, Y0, K1, K3
	KORD  K2, K3, K2
	KMOVD K4, AX
	KMOVD K2, BX
	TESTL AX, AX
	JNZ   other

expand:
	VPMOVZXBW Y0, Z0
	VPSLLW  $8, Z0, Z0
	VPORD   Z3, Z0, Z0
	PDEPQ   R11, BX, BX             // pairs that keep their backslash
	LEAQ    (DX)(DX*1), R14
	BZHIQ   R14, R12, R15
	ORQ     BX, R15
	KMOVQ   R15, K5
	VPCOMPRESSB.Z Z0, K5, Z5
	VMOVDQU64 Z5, (DI)
	POPCNTQ R15, R15
	ADDQ    R15, DI
	ADDQ    DX, SI
	SUBQ    DX, CX
	JMP     turn

other:
	// Take what lies before it, and leave no more for another turn.
	TZCNTL AX, DX
	BZHIL  DX, BX, BX
	MOVQ   DX, CX
	JMP    expand

done:
	SUBQ R9, DI
	SUBQ R10, SI
	MOVQ SI, read+48(FP)
	MOVQ DI, written+56(FP)
	VZEROUPPER
	RET
