#include "textflag.h"

// The constants of the rounds (FIPS 202, 3.2.5).
DATA constants<>+0(SB)/8, $0x1
DATA constants<>+8(SB)/8, $0x8082
DATA constants<>+16(SB)/8, $0x800000000000808a
DATA constants<>+24(SB)/8, $0x8000000080008000
DATA constants<>+32(SB)/8, $0x808b
DATA constants<>+40(SB)/8, $0x80000001
DATA constants<>+48(SB)/8, $0x8000000080008081
DATA constants<>+56(SB)/8, $0x8000000000008009
DATA constants<>+64(SB)/8, $0x8a
DATA constants<>+72(SB)/8, $0x88
DATA constants<>+80(SB)/8, $0x80008009
DATA constants<>+88(SB)/8, $0x8000000a
DATA constants<>+96(SB)/8, $0x8000808b
DATA constants<>+104(SB)/8, $0x800000000000008b
DATA constants<>+112(SB)/8, $0x8000000000008089
DATA constants<>+120(SB)/8, $0x8000000000008003
DATA constants<>+128(SB)/8, $0x8000000000008002
DATA constants<>+136(SB)/8, $0x8000000000000080
DATA constants<>+144(SB)/8, $0x800a
DATA constants<>+152(SB)/8, $0x800000008000000a
DATA constants<>+160(SB)/8, $0x8000000080008081
DATA constants<>+168(SB)/8, $0x8000000000008080
DATA constants<>+176(SB)/8, $0x80000001
DATA constants<>+184(SB)/8, $0x8000000080008008
GLOBL constants<>(SB), RODATA|NOPTR, $192

// By how much rho turns each lane, a row each 64 bytes.
DATA rotations<>+0(SB)/8, $0x0
DATA rotations<>+8(SB)/8, $0x1
DATA rotations<>+16(SB)/8, $0x3e
DATA rotations<>+24(SB)/8, $0x1c
DATA rotations<>+32(SB)/8, $0x1b
DATA rotations<>+40(SB)/8, $0x0
DATA rotations<>+48(SB)/8, $0x0
DATA rotations<>+56(SB)/8, $0x0
DATA rotations<>+64(SB)/8, $0x24
DATA rotations<>+72(SB)/8, $0x2c
DATA rotations<>+80(SB)/8, $0x6
DATA rotations<>+88(SB)/8, $0x37
DATA rotations<>+96(SB)/8, $0x14
DATA rotations<>+104(SB)/8, $0x0
DATA rotations<>+112(SB)/8, $0x0
DATA rotations<>+120(SB)/8, $0x0
DATA rotations<>+128(SB)/8, $0x3
DATA rotations<>+136(SB)/8, $0xa
DATA rotations<>+144(SB)/8, $0x2b
DATA rotations<>+152(SB)/8, $0x19
DATA rotations<>+160(SB)/8, $0x27
DATA rotations<>+168(SB)/8, $0x0
DATA rotations<>+176(SB)/8, $0x0
DATA rotations<>+184(SB)/8, $0x0
DATA rotations<>+192(SB)/8, $0x29
DATA rotations<>+200(SB)/8, $0x2d
DATA rotations<>+208(SB)/8, $0xf
DATA rotations<>+216(SB)/8, $0x15
DATA rotations<>+224(SB)/8, $0x8
DATA rotations<>+232(SB)/8, $0x0
DATA rotations<>+240(SB)/8, $0x0
DATA rotations<>+248(SB)/8, $0x0
DATA rotations<>+256(SB)/8, $0x12
DATA rotations<>+264(SB)/8, $0x2
DATA rotations<>+272(SB)/8, $0x3d
DATA rotations<>+280(SB)/8, $0x38
DATA rotations<>+288(SB)/8, $0xe
DATA rotations<>+296(SB)/8, $0x0
DATA rotations<>+304(SB)/8, $0x0
DATA rotations<>+312(SB)/8, $0x0
GLOBL rotations<>(SB), RODATA|NOPTR, $320

// The lane before, and the one behind, within a row.
DATA before<>+0(SB)/8, $0x4
DATA before<>+8(SB)/8, $0x0
DATA before<>+16(SB)/8, $0x1
DATA before<>+24(SB)/8, $0x2
DATA before<>+32(SB)/8, $0x3
DATA before<>+40(SB)/8, $0x5
DATA before<>+48(SB)/8, $0x6
DATA before<>+56(SB)/8, $0x7
GLOBL before<>(SB), RODATA|NOPTR, $64

DATA behind<>+0(SB)/8, $0x1
DATA behind<>+8(SB)/8, $0x2
DATA behind<>+16(SB)/8, $0x3
DATA behind<>+24(SB)/8, $0x4
DATA behind<>+32(SB)/8, $0x0
DATA behind<>+40(SB)/8, $0x5
DATA behind<>+48(SB)/8, $0x6
DATA behind<>+56(SB)/8, $0x7
GLOBL behind<>(SB), RODATA|NOPTR, $64

// Which lane of row y pi moves to each place of column y.
DATA places<>+0(SB)/8, $0x0
DATA places<>+8(SB)/8, $0x3
DATA places<>+16(SB)/8, $0x1
DATA places<>+24(SB)/8, $0x4
DATA places<>+32(SB)/8, $0x2
DATA places<>+40(SB)/8, $0x5
DATA places<>+48(SB)/8, $0x6
DATA places<>+56(SB)/8, $0x7
DATA places<>+64(SB)/8, $0x1
DATA places<>+72(SB)/8, $0x4
DATA places<>+80(SB)/8, $0x2
DATA places<>+88(SB)/8, $0x0
DATA places<>+96(SB)/8, $0x3
DATA places<>+104(SB)/8, $0x5
DATA places<>+112(SB)/8, $0x6
DATA places<>+120(SB)/8, $0x7
DATA places<>+128(SB)/8, $0x2
DATA places<>+136(SB)/8, $0x0
DATA places<>+144(SB)/8, $0x3
DATA places<>+152(SB)/8, $0x1
DATA places<>+160(SB)/8, $0x4
DATA places<>+168(SB)/8, $0x5
DATA places<>+176(SB)/8, $0x6
DATA places<>+184(SB)/8, $0x7
DATA places<>+192(SB)/8, $0x3
DATA places<>+200(SB)/8, $0x1
DATA places<>+208(SB)/8, $0x4
DATA places<>+216(SB)/8, $0x2
DATA places<>+224(SB)/8, $0x0
DATA places<>+232(SB)/8, $0x5
DATA places<>+240(SB)/8, $0x6
DATA places<>+248(SB)/8, $0x7
DATA places<>+256(SB)/8, $0x4
DATA places<>+264(SB)/8, $0x2
DATA places<>+272(SB)/8, $0x0
DATA places<>+280(SB)/8, $0x3
DATA places<>+288(SB)/8, $0x1
DATA places<>+296(SB)/8, $0x5
DATA places<>+304(SB)/8, $0x6
DATA places<>+312(SB)/8, $0x7
GLOBL places<>(SB), RODATA|NOPTR, $320

// The lane of the fifth column that goes to the end of each row.
DATA fifth<>+0(SB)/8, $0x0
DATA fifth<>+8(SB)/8, $0x0
DATA fifth<>+16(SB)/8, $0x0
DATA fifth<>+24(SB)/8, $0x0
DATA fifth<>+32(SB)/8, $0x0
DATA fifth<>+40(SB)/8, $0x0
DATA fifth<>+48(SB)/8, $0x0
DATA fifth<>+56(SB)/8, $0x0
DATA fifth<>+64(SB)/8, $0x0
DATA fifth<>+72(SB)/8, $0x0
DATA fifth<>+80(SB)/8, $0x0
DATA fifth<>+88(SB)/8, $0x0
DATA fifth<>+96(SB)/8, $0x1
DATA fifth<>+104(SB)/8, $0x0
DATA fifth<>+112(SB)/8, $0x0
DATA fifth<>+120(SB)/8, $0x0
DATA fifth<>+128(SB)/8, $0x0
DATA fifth<>+136(SB)/8, $0x0
DATA fifth<>+144(SB)/8, $0x0
DATA fifth<>+152(SB)/8, $0x0
DATA fifth<>+160(SB)/8, $0x2
DATA fifth<>+168(SB)/8, $0x0
DATA fifth<>+176(SB)/8, $0x0
DATA fifth<>+184(SB)/8, $0x0
DATA fifth<>+192(SB)/8, $0x0
DATA fifth<>+200(SB)/8, $0x0
DATA fifth<>+208(SB)/8, $0x0
DATA fifth<>+216(SB)/8, $0x0
DATA fifth<>+224(SB)/8, $0x3
DATA fifth<>+232(SB)/8, $0x0
DATA fifth<>+240(SB)/8, $0x0
DATA fifth<>+248(SB)/8, $0x0
DATA fifth<>+256(SB)/8, $0x0
DATA fifth<>+264(SB)/8, $0x0
DATA fifth<>+272(SB)/8, $0x0
DATA fifth<>+280(SB)/8, $0x0
DATA fifth<>+288(SB)/8, $0x4
DATA fifth<>+296(SB)/8, $0x0
DATA fifth<>+304(SB)/8, $0x0
DATA fifth<>+312(SB)/8, $0x0
GLOBL fifth<>(SB), RODATA|NOPTR, $320

// The last row out of the columns joined in pairs; lanes 6 are zero.
DATA lastrow<>+0(SB)/8, $0x4
DATA lastrow<>+8(SB)/8, $0x5
DATA lastrow<>+16(SB)/8, $0xc
DATA lastrow<>+24(SB)/8, $0xd
DATA lastrow<>+32(SB)/8, $0x6
DATA lastrow<>+40(SB)/8, $0x6
DATA lastrow<>+48(SB)/8, $0x6
DATA lastrow<>+56(SB)/8, $0x6
GLOBL lastrow<>(SB), RODATA|NOPTR, $64

// func absorb(s *state, p *byte, blocks int)
TEXT ·absorb(SB), NOSPLIT, $0-24
	MOVQ s+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ blocks+16(FP), CX
	TESTQ CX, CX
	JEQ   done

	MOVQ  $0x1f, AX // a row
	KMOVW AX, K1
	MOVQ  $0x03, AX // what a block has of the fourth
	KMOVW AX, K2
	MOVQ  $0x10, AX // the end of a row
	KMOVW AX, K3

	VMOVDQU64.Z 0(DI), K1, Z0
	VMOVDQU64.Z 40(DI), K1, Z1
	VMOVDQU64.Z 80(DI), K1, Z2
	VMOVDQU64.Z 120(DI), K1, Z3
	VMOVDQU64.Z 160(DI), K1, Z4

	VMOVDQU64 rotations<>+0(SB), Z10
	VMOVDQU64 rotations<>+64(SB), Z11
	VMOVDQU64 rotations<>+128(SB), Z12
	VMOVDQU64 rotations<>+192(SB), Z13
	VMOVDQU64 rotations<>+256(SB), Z14
	VMOVDQU64 before<>(SB), Z15
	VMOVDQU64 behind<>(SB), Z16
	VMOVDQU64 places<>+0(SB), Z17
	VMOVDQU64 places<>+64(SB), Z18
	VMOVDQU64 places<>+128(SB), Z19
	VMOVDQU64 places<>+192(SB), Z20
	VMOVDQU64 places<>+256(SB), Z21
	VMOVDQU64 fifth<>+0(SB), Z22
	VMOVDQU64 fifth<>+64(SB), Z23
	VMOVDQU64 fifth<>+128(SB), Z24
	VMOVDQU64 fifth<>+192(SB), Z25
	VMOVDQU64 fifth<>+256(SB), Z26
	VMOVDQU64 lastrow<>(SB), Z27
	LEAQ      constants<>(SB), R8

block:
	VMOVDQU64.Z 0(SI), K1, Z5
	VMOVDQU64.Z 40(SI), K1, Z6
	VMOVDQU64.Z 80(SI), K1, Z7
	VMOVDQU64.Z 120(SI), K2, Z8
	VPXORQ      Z5, Z0, Z0
	VPXORQ      Z6, Z1, Z1
	VPXORQ      Z7, Z2, Z2
	VPXORQ      Z8, Z3, Z3
	XORQ        BX, BX

round:
	// theta
	VMOVDQA64  Z0, Z5
	VPTERNLOGQ $0x96, Z1, Z2, Z5
	VPTERNLOGQ $0x96, Z3, Z4, Z5
	VPERMQ     Z5, Z15, Z6
	VPERMQ     Z5, Z16, Z7
	VPROLQ     $1, Z7, Z7
	VPTERNLOGQ $0x96, Z6, Z7, Z0
	VPTERNLOGQ $0x96, Z6, Z7, Z1
	VPTERNLOGQ $0x96, Z6, Z7, Z2
	VPTERNLOGQ $0x96, Z6, Z7, Z3
	VPTERNLOGQ $0x96, Z6, Z7, Z4

	// rho, and pi within a register: rows become columns
	VPROLVQ Z10, Z0, Z0
	VPROLVQ Z11, Z1, Z1
	VPROLVQ Z12, Z2, Z2
	VPROLVQ Z13, Z3, Z3
	VPROLVQ Z14, Z4, Z4
	VPERMQ  Z0, Z17, Z0
	VPERMQ  Z1, Z18, Z1
	VPERMQ  Z2, Z19, Z2
	VPERMQ  Z3, Z20, Z3
	VPERMQ  Z4, Z21, Z4

	// chi
	VMOVDQA64  Z0, Z8
	VMOVDQA64  Z1, Z9
	VPTERNLOGQ $0xd2, Z2, Z1, Z0
	VPTERNLOGQ $0xd2, Z3, Z2, Z1
	VPTERNLOGQ $0xd2, Z4, Z3, Z2
	VPTERNLOGQ $0xd2, Z8, Z4, Z3
	VPTERNLOGQ $0xd2, Z9, Z8, Z4

	// columns become rows; iota
	VPERMQ.Z    Z4, Z22, K3, Z28
	VPERMQ.Z    Z4, Z23, K3, Z29
	VPERMQ.Z    Z4, Z24, K3, Z30
	VPERMQ.Z    Z4, Z25, K3, Z31
	VPERMQ.Z    Z4, Z26, K3, Z9
	VPUNPCKLQDQ Z1, Z0, Z5
	VPUNPCKHQDQ Z1, Z0, Z6
	VPUNPCKLQDQ Z3, Z2, Z7
	VPUNPCKHQDQ Z3, Z2, Z8
	VINSERTI128 $1, X7, Y5, Y0
	VINSERTI128 $1, X8, Y6, Y1
	VPERM2I128  $0x31, Y7, Y5, Y2
	VPERM2I128  $0x31, Y8, Y6, Y3
	VMOVDQA64   Z5, Z4
	VPERMT2Q    Z7, Z27, Z4
	VMOVQ       (R8)(BX*8), X6
	VPTERNLOGQ  $0x96, Z28, Z6, Z0
	VPXORQ      Z29, Z1, Z1
	VPXORQ      Z30, Z2, Z2
	VPXORQ      Z31, Z3, Z3
	VPXORQ      Z9, Z4, Z4

	INCQ BX
	CMPQ BX, $24
	JNE  round

	ADDQ $136, SI
	DECQ CX
	JNE  block

	VMOVDQU64 Z0, K1, 0(DI)
	VMOVDQU64 Z1, K1, 40(DI)
	VMOVDQU64 Z2, K1, 80(DI)
	VMOVDQU64 Z3, K1, 120(DI)
	VMOVDQU64 Z4, K1, 160(DI)
	VZEROUPPER

done:
	RET
