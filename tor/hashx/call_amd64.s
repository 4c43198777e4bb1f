//go:build amd64 && linux

#include "textflag.h"

#define SIPROUND(a, b, c, d) \
	ADDQ b, a;   \
	ADDQ d, c;   \
	ROLQ $13, b; \
	ROLQ $16, d; \
	XORQ a, b;   \
	XORQ c, d;   \
	ROLQ $32, a; \
	ADDQ b, c;   \
	ADDQ d, a;   \
	ROLQ $17, b; \
	ROLQ $21, d; \
	XORQ c, b;   \
	XORQ a, d;   \
	ROLQ $32, c

// func call(entry uintptr, key *sipKey, first uint64, out *uint64, n int)
//
// The compiled program changes R8 to R15, AX and DX and leaves the rest. BX is
// the word, DI where its hash goes.
TEXT ·call(SB), NOSPLIT, $0-40
	MOVQ entry+0(FP), CX
	MOVQ key+8(FP), SI
	MOVQ first+16(FP), BX
	MOVQ out+24(FP), DI

next:
	DECQ n+32(FP)
	JLT  done

	// The first four registers: SipHash-2-4 of the word, its whole state.
	MOVQ 0(SI), R8
	MOVQ 8(SI), R9
	MOVQ 16(SI), R10
	MOVQ 24(SI), R11
	XORQ $0xee, R9
	XORQ BX, R11
	SIPROUND(R8, R9, R10, R11)
	SIPROUND(R8, R9, R10, R11)
	XORQ BX, R8
	XORQ $0xee, R10
	SIPROUND(R8, R9, R10, R11)
	SIPROUND(R8, R9, R10, R11)
	SIPROUND(R8, R9, R10, R11)
	SIPROUND(R8, R9, R10, R11)

	// The other four: the state after more rounds.
	MOVQ R8, R12
	MOVQ R9, R13
	MOVQ R10, R14
	MOVQ R11, R15
	XORQ $0xdd, R13
	SIPROUND(R12, R13, R14, R15)
	SIPROUND(R12, R13, R14, R15)
	SIPROUND(R12, R13, R14, R15)
	SIPROUND(R12, R13, R14, R15)

	CALL CX

	ADDQ 0(SI), R8
	ADDQ 8(SI), R9
	ADDQ 16(SI), R14
	ADDQ 24(SI), R15
	SIPROUND(R8, R9, R10, R11)
	SIPROUND(R12, R13, R14, R15)
	XORQ R12, R8
	MOVQ R8, (DI)
	ADDQ $8, DI
	INCQ BX
	JMP  next

done:
	RET
