#include "textflag.h"

// What is added to a counter for its place: the place, in its last byte. The six bits it is
// in are zero in every counter, so adding is without carries.
DATA places<>+0(SB)/8, $0
DATA places<>+8(SB)/8, $0x0
DATA places<>+16(SB)/8, $0
DATA places<>+24(SB)/8, $0x100000000000000
DATA places<>+32(SB)/8, $0
DATA places<>+40(SB)/8, $0x200000000000000
DATA places<>+48(SB)/8, $0
DATA places<>+56(SB)/8, $0x300000000000000
DATA places<>+64(SB)/8, $0
DATA places<>+72(SB)/8, $0x400000000000000
DATA places<>+80(SB)/8, $0
DATA places<>+88(SB)/8, $0x500000000000000
DATA places<>+96(SB)/8, $0
DATA places<>+104(SB)/8, $0x600000000000000
DATA places<>+112(SB)/8, $0
DATA places<>+120(SB)/8, $0x700000000000000
DATA places<>+128(SB)/8, $0
DATA places<>+136(SB)/8, $0x800000000000000
DATA places<>+144(SB)/8, $0
DATA places<>+152(SB)/8, $0x900000000000000
DATA places<>+160(SB)/8, $0
DATA places<>+168(SB)/8, $0xa00000000000000
DATA places<>+176(SB)/8, $0
DATA places<>+184(SB)/8, $0xb00000000000000
DATA places<>+192(SB)/8, $0
DATA places<>+200(SB)/8, $0xc00000000000000
DATA places<>+208(SB)/8, $0
DATA places<>+216(SB)/8, $0xd00000000000000
DATA places<>+224(SB)/8, $0
DATA places<>+232(SB)/8, $0xe00000000000000
DATA places<>+240(SB)/8, $0
DATA places<>+248(SB)/8, $0xf00000000000000
DATA places<>+256(SB)/8, $0
DATA places<>+264(SB)/8, $0x1000000000000000
DATA places<>+272(SB)/8, $0
DATA places<>+280(SB)/8, $0x1100000000000000
DATA places<>+288(SB)/8, $0
DATA places<>+296(SB)/8, $0x1200000000000000
DATA places<>+304(SB)/8, $0
DATA places<>+312(SB)/8, $0x1300000000000000
DATA places<>+320(SB)/8, $0
DATA places<>+328(SB)/8, $0x1400000000000000
DATA places<>+336(SB)/8, $0
DATA places<>+344(SB)/8, $0x1500000000000000
DATA places<>+352(SB)/8, $0
DATA places<>+360(SB)/8, $0x1600000000000000
DATA places<>+368(SB)/8, $0
DATA places<>+376(SB)/8, $0x1700000000000000
DATA places<>+384(SB)/8, $0
DATA places<>+392(SB)/8, $0x1800000000000000
DATA places<>+400(SB)/8, $0
DATA places<>+408(SB)/8, $0x1900000000000000
DATA places<>+416(SB)/8, $0
DATA places<>+424(SB)/8, $0x1a00000000000000
DATA places<>+432(SB)/8, $0
DATA places<>+440(SB)/8, $0x1b00000000000000
DATA places<>+448(SB)/8, $0
DATA places<>+456(SB)/8, $0x1c00000000000000
DATA places<>+464(SB)/8, $0
DATA places<>+472(SB)/8, $0x1d00000000000000
DATA places<>+480(SB)/8, $0
DATA places<>+488(SB)/8, $0x1e00000000000000
DATA places<>+496(SB)/8, $0
DATA places<>+504(SB)/8, $0x1f00000000000000
DATA places<>+512(SB)/8, $0
DATA places<>+520(SB)/8, $0x2000000000000000
DATA places<>+528(SB)/8, $0
DATA places<>+536(SB)/8, $0x2100000000000000
DATA places<>+544(SB)/8, $0
DATA places<>+552(SB)/8, $0x2200000000000000
DATA places<>+560(SB)/8, $0
DATA places<>+568(SB)/8, $0x2300000000000000
GLOBL places<>(SB), RODATA|NOPTR, $576

// EXPAND makes the next round key of two keys out of X0 and X1.
#define EXPAND(rcon, off) \
	AESKEYGENASSIST $rcon, X0, X2; \
	AESKEYGENASSIST $rcon, X1, X3; \
	MOVOA           X0, X4;        \
	MOVOA           X1, X5;        \
	PSLLDQ          $4, X4;        \
	PSLLDQ          $4, X5;        \
	PXOR            X4, X0;        \
	PXOR            X5, X1;        \
	MOVOA           X0, X4;        \
	MOVOA           X1, X5;        \
	PSLLDQ          $8, X4;        \
	PSLLDQ          $8, X5;        \
	PXOR            X4, X0;        \
	PXOR            X5, X1;        \
	PSHUFD          $0xff, X2, X2; \
	PSHUFD          $0xff, X3, X3; \
	PXOR            X2, X0;        \
	PXOR            X3, X1;        \
	MOVOU           X0, off(AX);   \
	MOVOU           X1, off(BX)

// func expandTwo(a, b *schedule, keyA, keyB *[16]byte)
TEXT ·expandTwo(SB), NOSPLIT, $0-32
	MOVQ  a+0(FP), AX
	MOVQ  b+8(FP), BX
	MOVQ  keyA+16(FP), CX
	MOVQ  keyB+24(FP), DX
	MOVOU (CX), X0
	MOVOU (DX), X1
	MOVOU X0, (AX)
	MOVOU X1, (BX)
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
	RET

// func invert(s *schedule)
TEXT ·invert(SB), NOSPLIT, $0-8
	MOVQ   s+0(FP), AX
	MOVOU  0(AX), X0
	MOVOU  16(AX), X1
	MOVOU  32(AX), X2
	MOVOU  48(AX), X3
	MOVOU  64(AX), X4
	MOVOU  80(AX), X5
	MOVOU  96(AX), X6
	MOVOU  112(AX), X7
	MOVOU  128(AX), X8
	MOVOU  144(AX), X9
	MOVOU  160(AX), X10
	AESIMC X1, X1
	AESIMC X2, X2
	AESIMC X3, X3
	AESIMC X4, X4
	AESIMC X5, X5
	AESIMC X6, X6
	AESIMC X7, X7
	AESIMC X8, X8
	AESIMC X9, X9
	MOVOU  X0, 160(AX)
	MOVOU  X1, 144(AX)
	MOVOU  X2, 128(AX)
	MOVOU  X3, 112(AX)
	MOVOU  X4, 96(AX)
	MOVOU  X5, 80(AX)
	MOVOU  X6, 64(AX)
	MOVOU  X7, 48(AX)
	MOVOU  X8, 32(AX)
	MOVOU  X9, 16(AX)
	MOVOU  X10, 0(AX)
	RET

// func encryptBlock(s *schedule, block, mask *[16]byte)
TEXT ·encryptBlock(SB), NOSPLIT, $0-24
	MOVQ  s+0(FP), AX
	MOVQ  block+8(FP), BX
	MOVQ  mask+16(FP), CX
	MOVOU (BX), X0
	MOVOU (CX), X1
	MOVOU 0(AX), X2
	PXOR  X1, X0
	PXOR  X2, X0
	MOVOU 16(AX), X2
	AESENC X2, X0
	MOVOU 32(AX), X2
	AESENC X2, X0
	MOVOU 48(AX), X2
	AESENC X2, X0
	MOVOU 64(AX), X2
	AESENC X2, X0
	MOVOU 80(AX), X2
	AESENC X2, X0
	MOVOU 96(AX), X2
	AESENC X2, X0
	MOVOU 112(AX), X2
	AESENC X2, X0
	MOVOU 128(AX), X2
	AESENC X2, X0
	MOVOU 144(AX), X2
	AESENC X2, X0
	MOVOU 160(AX), X2
	AESENCLAST X2, X0
	PXOR  X1, X0
	MOVOU X0, (BX)
	RET

// func decryptBlock(s *schedule, block, mask *[16]byte)
TEXT ·decryptBlock(SB), NOSPLIT, $0-24
	MOVQ  s+0(FP), AX
	MOVQ  block+8(FP), BX
	MOVQ  mask+16(FP), CX
	MOVOU (BX), X0
	MOVOU (CX), X1
	MOVOU 0(AX), X2
	PXOR  X1, X0
	PXOR  X2, X0
	MOVOU 16(AX), X2
	AESDEC X2, X0
	MOVOU 32(AX), X2
	AESDEC X2, X0
	MOVOU 48(AX), X2
	AESDEC X2, X0
	MOVOU 64(AX), X2
	AESDEC X2, X0
	MOVOU 80(AX), X2
	AESDEC X2, X0
	MOVOU 96(AX), X2
	AESDEC X2, X0
	MOVOU 112(AX), X2
	AESDEC X2, X0
	MOVOU 128(AX), X2
	AESDEC X2, X0
	MOVOU 144(AX), X2
	AESDEC X2, X0
	MOVOU 160(AX), X2
	AESDECLAST X2, X0
	PXOR  X1, X0
	MOVOU X0, (BX)
	RET

// COUNTERS makes eight counters, plus the first round key, from that sum for place 0 in X9
// and from the places at (R10).
#define COUNTERS \
	MOVOU 0(R10), X0;   \
	MOVOU 16(R10), X1;  \
	MOVOU 32(R10), X2;  \
	MOVOU 48(R10), X3;  \
	MOVOU 64(R10), X4;  \
	MOVOU 80(R10), X5;  \
	MOVOU 96(R10), X6;  \
	MOVOU 112(R10), X7; \
	PXOR  X9, X0;       \
	PXOR  X9, X1;       \
	PXOR  X9, X2;       \
	PXOR  X9, X3;       \
	PXOR  X9, X4;       \
	PXOR  X9, X5;       \
	PXOR  X9, X6;       \
	PXOR  X9, X7

#define ROUND(op, off) \
	MOVOU off(AX), X8; \
	op    X8, X0;      \
	op    X8, X1;      \
	op    X8, X2;      \
	op    X8, X3;      \
	op    X8, X4;      \
	op    X8, X5;      \
	op    X8, X6;      \
	op    X8, X7

#define ROUNDS \
	ROUND(AESENC, 16);  \
	ROUND(AESENC, 32);  \
	ROUND(AESENC, 48);  \
	ROUND(AESENC, 64);  \
	ROUND(AESENC, 80);  \
	ROUND(AESENC, 96);  \
	ROUND(AESENC, 112); \
	ROUND(AESENC, 128); \
	ROUND(AESENC, 144); \
	ROUND(AESENCLAST, 160)

// ADD adds a block of the stream to what is at (BX).
#define ADD(X, off) \
	MOVOU off(BX), X8; \
	PXOR  X, X8;       \
	MOVOU X8, off(BX)

// func xorNI(s *schedule, iv *[16]byte, right *[rightLen]byte)
TEXT ·xorNI(SB), NOSPLIT, $0-24
	MOVQ  s+0(FP), AX
	MOVQ  iv+8(FP), DX
	MOVQ  right+16(FP), BX
	LEAQ  places<>(SB), R10
	MOVOU (DX), X9
	MOVOU (AX), X8
	PXOR  X8, X9
	MOVQ  $3, R11

eight:
	COUNTERS
	ROUNDS
	ADD(X0, 0)
	ADD(X1, 16)
	ADD(X2, 32)
	ADD(X3, 48)
	ADD(X4, 64)
	ADD(X5, 80)
	ADD(X6, 96)
	ADD(X7, 112)
	ADDQ $128, R10
	ADDQ $128, BX
	DECQ R11
	JNZ  eight

	// Six blocks are left, and 13 bytes: these first, as the end of a block whose three
	// other bytes are left as they are, and put right by the last whole block.
	COUNTERS
	ROUNDS
	PSLLDQ $3, X6
	ADD(X6, 93)
	ADD(X0, 0)
	ADD(X1, 16)
	ADD(X2, 32)
	ADD(X3, 48)
	ADD(X4, 64)
	ADD(X5, 80)
	RET

// func keystreamNI(s *schedule, iv *[16]byte, out *[KeysLen]byte)
//
// Five blocks, from place 31 on.
TEXT ·keystreamNI(SB), NOSPLIT, $0-24
	MOVQ  s+0(FP), AX
	MOVQ  iv+8(FP), DX
	MOVQ  out+16(FP), BX
	LEAQ  places<>+448(SB), R10 // places 28 to 35
	MOVOU (DX), X9
	MOVOU (AX), X8
	PXOR  X8, X9
	COUNTERS
	ROUNDS
	MOVOU X3, 0(BX)
	MOVOU X4, 16(BX)
	MOVOU X5, 32(BX)
	MOVOU X6, 48(BX)
	MOVOU X7, 64(BX)
	RET

#define WROUND(op, Z) \
	op Z, Z0, Z0; \
	op Z, Z1, Z1; \
	op Z, Z2, Z2; \
	op Z, Z3, Z3; \
	op Z, Z4, Z4; \
	op Z, Z5, Z5; \
	op Z, Z6, Z6; \
	op Z, Z7, Z7

#define WADD(Z, off) \
	VPXORQ    off(BX), Z, Z; \
	VMOVDQU64 Z, off(BX)

// func xorWide(s *schedule, iv *[16]byte, right *[rightLen]byte)
//
// All 31 blocks at once, four to a register.
TEXT ·xorWide(SB), NOSPLIT, $0-24
	MOVQ s+0(FP), AX
	MOVQ iv+8(FP), DX
	MOVQ right+16(FP), BX
	LEAQ places<>(SB), R10
	VBROADCASTI32X4 (DX), Z8
	VBROADCASTI32X4 0(AX), Z16
	VBROADCASTI32X4 16(AX), Z17
	VBROADCASTI32X4 32(AX), Z18
	VBROADCASTI32X4 48(AX), Z19
	VBROADCASTI32X4 64(AX), Z20
	VBROADCASTI32X4 80(AX), Z21
	VBROADCASTI32X4 96(AX), Z22
	VBROADCASTI32X4 112(AX), Z23
	VBROADCASTI32X4 128(AX), Z24
	VBROADCASTI32X4 144(AX), Z25
	VBROADCASTI32X4 160(AX), Z26
	VPXORQ Z16, Z8, Z8
	VPXORQ 0(R10), Z8, Z0
	VPXORQ 64(R10), Z8, Z1
	VPXORQ 128(R10), Z8, Z2
	VPXORQ 192(R10), Z8, Z3
	VPXORQ 256(R10), Z8, Z4
	VPXORQ 320(R10), Z8, Z5
	VPXORQ 384(R10), Z8, Z6
	VPXORQ 448(R10), Z8, Z7
	WROUND(VAESENC, Z17)
	WROUND(VAESENC, Z18)
	WROUND(VAESENC, Z19)
	WROUND(VAESENC, Z20)
	WROUND(VAESENC, Z21)
	WROUND(VAESENC, Z22)
	WROUND(VAESENC, Z23)
	WROUND(VAESENC, Z24)
	WROUND(VAESENC, Z25)
	WROUND(VAESENCLAST, Z26)
	WADD(Z0, 0)
	WADD(Z1, 64)
	WADD(Z2, 128)
	WADD(Z3, 192)
	WADD(Z4, 256)
	WADD(Z5, 320)
	WADD(Z6, 384)

	// 45 bytes are left.
	MOVQ       $0x1fffffffffff, R11
	KMOVQ      R11, K1
	VMOVDQU8.Z 448(BX), K1, Z9
	VPXORQ     Z9, Z7, Z7
	VMOVDQU8   Z7, K1, 448(BX)
	VZEROUPPER
	RET
