#include "textflag.h"

// Numbers of 128 bits in the order of the processor: 0 to 3, and four times 4.
DATA first<>+0(SB)/8, $0
DATA first<>+8(SB)/8, $0
DATA first<>+16(SB)/8, $1
DATA first<>+24(SB)/8, $0
DATA first<>+32(SB)/8, $2
DATA first<>+40(SB)/8, $0
DATA first<>+48(SB)/8, $3
DATA first<>+56(SB)/8, $0
GLOBL first<>(SB), RODATA|NOPTR, $64

DATA step<>+0(SB)/8, $4
DATA step<>+8(SB)/8, $0
GLOBL step<>(SB), RODATA|NOPTR, $16

// The bytes of a number backwards, as counters lie.
DATA reverse<>+0(SB)/8, $0x08090a0b0c0d0e0f
DATA reverse<>+8(SB)/8, $0x0001020304050607
GLOBL reverse<>(SB), RODATA|NOPTR, $16

// EXPAND makes the next round key out of X0.
#define EXPAND(rcon, off) \
	AESKEYGENASSIST $rcon, X0, X1; \
	MOVOA           X0, X2;        \
	PSLLDQ          $4, X2;        \
	PXOR            X2, X0;        \
	MOVOA           X0, X2;        \
	PSLLDQ          $8, X2;        \
	PXOR            X2, X0;        \
	PSHUFD          $0xff, X1, X1; \
	PXOR            X1, X0;        \
	MOVOU           X0, off(AX)

// func expandKey(keys *wideKey, key *[16]byte)
TEXT ·expandKey(SB), NOSPLIT, $0-16
	MOVQ  keys+0(FP), AX
	MOVQ  key+8(FP), BX
	MOVOU (BX), X0
	MOVOU X0, (AX)
	EXPAND(0x01, 16)
	EXPAND(0x02, 32)
	EXPAND(0x04, 48)
	EXPAND(0x08, 64)
	EXPAND(0x10, 80)
	EXPAND(0x20, 96)
	EXPAND(0x40, 112)
	EXPAND(0x80, 128)
	EXPAND(0x1b, 144)
	EXPAND(0x36, 160)
	MOVQ  $10, 240(AX)
	RET

// KEY256 makes the round key at off out of the one two before it, P, and the last, L.
#define KEY256(rcon, lane, L, P, off) \
	AESKEYGENASSIST $rcon, L, X1; \
	MOVOA           P, X2;        \
	PSLLDQ          $4, X2;       \
	PXOR            X2, P;        \
	MOVOA           P, X2;        \
	PSLLDQ          $8, X2;       \
	PXOR            X2, P;        \
	PSHUFD          $lane, X1, X1; \
	PXOR            X1, P;        \
	MOVOU           P, off(AX)

// func expandKey256(keys *wideKey, key *[32]byte)
TEXT ·expandKey256(SB), NOSPLIT, $0-16
	MOVQ  keys+0(FP), AX
	MOVQ  key+8(FP), BX
	MOVOU (BX), X0
	MOVOU 16(BX), X3
	MOVOU X0, (AX)
	MOVOU X3, 16(AX)
	KEY256(0x01, 0xff, X3, X0, 32)
	KEY256(0, 0xaa, X0, X3, 48)
	KEY256(0x02, 0xff, X3, X0, 64)
	KEY256(0, 0xaa, X0, X3, 80)
	KEY256(0x04, 0xff, X3, X0, 96)
	KEY256(0, 0xaa, X0, X3, 112)
	KEY256(0x08, 0xff, X3, X0, 128)
	KEY256(0, 0xaa, X0, X3, 144)
	KEY256(0x10, 0xff, X3, X0, 160)
	KEY256(0, 0xaa, X0, X3, 176)
	KEY256(0x20, 0xff, X3, X0, 192)
	KEY256(0, 0xaa, X0, X3, 208)
	KEY256(0x40, 0xff, X3, X0, 224)
	MOVQ  $14, 240(AX)
	RET

#define ROUND(op, off) \
	VBROADCASTI32X4 off(AX), Z9; \
	op Z9, Z0, Z0; \
	op Z9, Z1, Z1; \
	op Z9, Z2, Z2; \
	op Z9, Z3, Z3; \
	op Z9, Z4, Z4; \
	op Z9, Z5, Z5; \
	op Z9, Z6, Z6; \
	op Z9, Z7, Z7; \
	op Z9, Z8, Z8

// COUNTER makes four counters, with the first round key in Z9, of the numbers in Z11.
#define COUNTER(blocks) \
	VPSHUFB Z13, Z11, blocks; \
	VPADDQ  Z12, Z11, Z11;    \
	VPXORQ  Z9, blocks, blocks

#define ADD(blocks, off) \
	VPXORQ    off(BX), blocks, blocks; \
	VMOVDQU64 blocks, off(BX)

// ADDSOME adds only the bytes in the mask: the others are not the body's.
#define ADDSOME(blocks, off, K) \
	VMOVDQU8.Z off(BX), K, Z10;       \
	VPXORQ     Z10, blocks, blocks;   \
	VMOVDQU8   blocks, K, off(BX)

// func xorWide(keys *wideKey, place uint64, body *[bodyLen]byte)
//
// The 33 blocks that a body can touch at once, four to a register. BX is where the first of
// them begins: at the body, or up to 15 bytes before.
TEXT ·xorWide(SB), NOSPLIT, $0-24
	MOVQ keys+0(FP), AX
	MOVQ place+8(FP), DX
	MOVQ body+16(FP), BX
	MOVQ DX, CX
	ANDQ $15, CX
	SHRQ $4, DX
	SUBQ CX, BX

	// K1: of the first register all bytes from the body's first on.
	MOVQ  $-1, R8
	SHLQ  CX, R8
	KMOVQ R8, K1

	// K2, K3: of the eighth and the ninth all up to the body's last.
	ADDQ    $509, CX
	MOVQ    $-1, R8
	LEAQ    -448(CX), R9
	BZHIQ   R9, R8, R10
	KMOVQ   R10, K2
	XORL    R9, R9
	SUBQ    $512, CX
	CMOVQLT R9, CX
	BZHIQ   CX, R8, R10
	KMOVQ   R10, K3

	// K4: the lower half of each number.
	MOVQ            $0x55, R8
	KMOVQ           R8, K4
	VPBROADCASTQ.Z  DX, K4, Z11
	VPADDQ          first<>(SB), Z11, Z11
	VBROADCASTI32X4 step<>(SB), Z12
	VBROADCASTI32X4 reverse<>(SB), Z13
	VBROADCASTI32X4 (AX), Z9
	COUNTER(Z0)
	COUNTER(Z1)
	COUNTER(Z2)
	COUNTER(Z3)
	COUNTER(Z4)
	COUNTER(Z5)
	COUNTER(Z6)
	COUNTER(Z7)
	COUNTER(Z8)
	ROUND(VAESENC, 16)
	ROUND(VAESENC, 32)
	ROUND(VAESENC, 48)
	ROUND(VAESENC, 64)
	ROUND(VAESENC, 80)
	ROUND(VAESENC, 96)
	ROUND(VAESENC, 112)
	ROUND(VAESENC, 128)
	ROUND(VAESENC, 144)
	CMPQ 240(AX), $14
	JEQ  long
	ROUND(VAESENCLAST, 160)

add:
	ADDSOME(Z0, 0, K1)
	ADD(Z1, 64)
	ADD(Z2, 128)
	ADD(Z3, 192)
	ADD(Z4, 256)
	ADD(Z5, 320)
	ADD(Z6, 384)
	ADDSOME(Z7, 448, K2)
	ADDSOME(Z8, 512, K3)
	VZEROUPPER
	RET

long:
	ROUND(VAESENC, 160)
	ROUND(VAESENC, 176)
	ROUND(VAESENC, 192)
	ROUND(VAESENC, 208)
	ROUND(VAESENCLAST, 224)
	JMP add
