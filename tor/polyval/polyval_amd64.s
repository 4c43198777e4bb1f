#include "textflag.h"

// The upper half of the modulus, in the upper word: x^127 + x^126 + x^121 (RFC 8452 section 3;
// the x^128 and the 1 are what REDUCE's additions are).
DATA modulus<>+0(SB)/8, $0x0000000000000001
DATA modulus<>+8(SB)/8, $0xc200000000000000
GLOBL modulus<>(SB), RODATA|NOPTR, $16

// REDUCE divides the product HI:LO by x^128 into HI. It needs the modulus in POLY.
#define REDUCE(LO, HI, POLY, T) \
	MOVOA     LO, T;              \
	PCLMULQDQ $0x10, POLY, T;     \
	PSHUFD    $0x4e, LO, LO;      \
	PXOR      T, LO;              \
	MOVOA     LO, T;              \
	PCLMULQDQ $0x10, POLY, T;     \
	PSHUFD    $0x4e, LO, LO;      \
	PXOR      T, LO;              \
	PXOR      LO, HI

// JOIN adds the middle of a product, of which only the outer parts were taken off yet, to
// the parts beside it (Karatsuba).
#define JOIN(LO, MID, HI, T) \
	PXOR   LO, MID;     \
	PXOR   HI, MID;     \
	MOVOA  MID, T;      \
	PSLLDQ $8, T;       \
	PSRLDQ $8, MID;     \
	PXOR   T, LO;       \
	PXOR   MID, HI

// DOT is A·B into A, which changes LO, MID and T; B's halves added are in the low word of BMIX.
#define DOT(A, B, BMIX, LO, MID, POLY, T) \
	MOVOA     A, LO;            \
	PSHUFD    $0x4e, A, MID;    \
	PXOR      A, MID;           \
	PCLMULQDQ $0x00, B, LO;     \
	PCLMULQDQ $0x11, B, A;      \
	PCLMULQDQ $0x00, BMIX, MID; \
	JOIN(LO, MID, A, T);        \
	REDUCE(LO, A, POLY, T)

// MIX puts the sum of A's halves into both words of M.
#define MIX(A, M) \
	PSHUFD $0x4e, A, M; \
	PXOR   A, M

// Offsets in Key.
#define POWER(i) ((8-i)*16)(DI)
#define MIXED(i) (128+(8-i)*16)(DI)

// func mulCLMUL(dst, a, b *[BlockSize]byte)
TEXT ·mulCLMUL(SB), NOSPLIT, $0-24
	MOVQ  dst+0(FP), DI
	MOVQ  a+8(FP), AX
	MOVQ  b+16(FP), BX
	MOVOU (AX), X0
	MOVOU (BX), X1
	MOVOU modulus<>(SB), X15
	MIX(X1, X2)
	DOT(X0, X1, X2, X3, X4, X15, X5)
	MOVOU X0, (DI)
	RET

// func initKeyCLMUL(k *Key, h *[BlockSize]byte)
//
// Three steps, the products of each of which do not wait for each other: H^2; H^3 and H^4;
// H^5 to H^8.
TEXT ·initKeyCLMUL(SB), NOSPLIT, $0-16
	MOVQ  k+0(FP), DI
	MOVQ  h+8(FP), SI
	MOVOU modulus<>(SB), X15
	MOVOU (SI), X0
	MIX(X0, X1)
	MOVOU X0, POWER(1)
	MOVOU X1, MIXED(1)

	MOVOA X0, X2
	DOT(X2, X0, X1, X8, X9, X15, X10)
	MIX(X2, X3)
	MOVOU X2, POWER(2)
	MOVOU X3, MIXED(2)

	MOVOA X2, X4
	DOT(X4, X0, X1, X8, X9, X15, X10)
	MOVOA X2, X6
	DOT(X6, X2, X3, X11, X12, X15, X13)
	MIX(X4, X5)
	MIX(X6, X7)
	MOVOU X4, POWER(3)
	MOVOU X5, MIXED(3)
	MOVOU X6, POWER(4)
	MOVOU X7, MIXED(4)

	DOT(X0, X6, X7, X8, X9, X15, X10)
	DOT(X2, X6, X7, X11, X12, X15, X13)
	DOT(X4, X6, X7, X8, X9, X15, X10)
	MOVOA X6, X14
	DOT(X14, X6, X7, X11, X12, X15, X13)
	MIX(X0, X1)
	MIX(X2, X3)
	MIX(X4, X5)
	MIX(X14, X7)
	MOVOU X0, POWER(5)
	MOVOU X1, MIXED(5)
	MOVOU X2, POWER(6)
	MOVOU X3, MIXED(6)
	MOVOU X4, POWER(7)
	MOVOU X5, MIXED(7)
	MOVOU X14, POWER(8)
	MOVOU X7, MIXED(8)
	RET

// TERM adds block X times the power at (R9) and its mixture, not reduced, to X0 (low), X1
// (middle) and X2 (high).
#define TERM(X) \
	MOVOU     (R9), X6;      \
	MOVOU     128(R9), X7;   \
	MOVOA     X, X4;         \
	PSHUFD    $0x4e, X, X5;  \
	PXOR      X, X5;         \
	PCLMULQDQ $0x00, X6, X4; \
	PCLMULQDQ $0x11, X6, X;  \
	PCLMULQDQ $0x00, X7, X5; \
	PXOR      X4, X0;        \
	PXOR      X5, X1;        \
	PXOR      X, X2

// func updateCLMUL(k *Key, acc *[BlockSize]byte, blocks *byte, n int)
//
// As many blocks as there are powers are multiplied, each by the power that its place asks
// for, and reduced once; the blocks that are over come first.
TEXT ·updateCLMUL(SB), NOSPLIT, $0-32
	MOVQ  k+0(FP), DI
	MOVQ  acc+8(FP), DX
	MOVQ  blocks+16(FP), SI
	MOVQ  n+24(FP), CX
	MOVOU modulus<>(SB), X15
	MOVOU (DX), X8

	MOVQ CX, BX
	ANDQ $7, BX
	JNZ  group
	MOVQ $8, BX

group:
	SUBQ BX, CX
	// The power of the group's first block.
	MOVQ $8, R9
	SUBQ BX, R9
	SHLQ $4, R9
	ADDQ DI, R9
	PXOR X0, X0
	PXOR X1, X1
	PXOR X2, X2

block:
	MOVOU (SI), X3
	PXOR  X8, X3 // only the first block of a group is added to what came before
	PXOR  X8, X8
	TERM(X3)
	ADDQ  $16, SI
	ADDQ  $16, R9
	DECQ  BX
	JNZ   block

	JOIN(X0, X1, X2, X4)
	REDUCE(X0, X2, X15, X4)
	MOVOA X2, X8
	MOVQ  $8, BX
	TESTQ CX, CX
	JNZ   group

	MOVOU X8, (DX)
	RET

// func updateWide(k *Key, acc *[BlockSize]byte, blocks *byte, n int)
TEXT ·updateWide(SB), NOSPLIT, $0-32
	MOVQ      k+0(FP), DI
	MOVQ      acc+8(FP), DX
	MOVQ      blocks+16(FP), SI
	MOVQ      n+24(FP), CX
	VMOVDQU   modulus<>(SB), X15
	VMOVDQU   (DX), X8           // and zeros above
	VMOVDQU64 (DI), Z10          // H^8 to H^5
	VMOVDQU64 64(DI), Z11        // H^4 to H
	VMOVDQU64 128(DI), Z12
	VMOVDQU64 192(DI), Z13

wide:
	VMOVDQU64  (SI), Z0
	VMOVDQU64  64(SI), Z1
	VPXORQ     Z8, Z0, Z0
	VPSHUFD    $0x4e, Z0, Z2
	VPSHUFD    $0x4e, Z1, Z3
	VPXORQ     Z0, Z2, Z2
	VPXORQ     Z1, Z3, Z3
	VPCLMULQDQ $0x00, Z10, Z0, Z4
	VPCLMULQDQ $0x00, Z11, Z1, Z5
	VPCLMULQDQ $0x11, Z10, Z0, Z6
	VPCLMULQDQ $0x11, Z11, Z1, Z7
	VPCLMULQDQ $0x00, Z12, Z2, Z2
	VPCLMULQDQ $0x00, Z13, Z3, Z3
	VPXORQ     Z4, Z5, Z4   // low
	VPXORQ     Z6, Z7, Z6   // high
	VPTERNLOGQ $0x96, Z4, Z6, Z2
	VPXORQ     Z3, Z2, Z2   // middle, less the others
	VPSLLDQ    $8, Z2, Z3
	VPSRLDQ    $8, Z2, Z2
	VPXORQ     Z3, Z4, Z4
	VPXORQ     Z2, Z6, Z6

	// The four lanes, added.
	VEXTRACTI64X4 $1, Z4, Y5
	VEXTRACTI64X4 $1, Z6, Y7
	VPXOR         Y5, Y4, Y4
	VPXOR         Y7, Y6, Y6
	VEXTRACTI128  $1, Y4, X5
	VEXTRACTI128  $1, Y6, X7
	VPXOR         X5, X4, X4
	VPXOR         X7, X6, X6

	VPCLMULQDQ $0x10, X15, X4, X5
	VPSHUFD    $0x4e, X4, X4
	VPXOR      X5, X4, X4
	VPCLMULQDQ $0x10, X15, X4, X5
	VPSHUFD    $0x4e, X4, X4
	VPTERNLOGQ $0x96, X5, X4, X6
	VMOVDQA    X6, X8

	ADDQ $128, SI
	DECQ CX
	JNZ  wide

	VMOVDQU X8, (DX)
	VZEROUPPER
	RET
