//go:build amd64 && linux

package hashx

import "encoding/binary"

// The registers of HashX are r8 to r15. rdx holds the last wide product, in
// whose low half a branch looks for its bits, and rax is scratch; nothing else
// is touched, neither the stack.
//
// A branch is taken at most once a run. So the program is there twice, with its
// branches and, after it, without: a branch taken leads to its target in the
// second copy, and there is no flag to keep or test.

const (
	maxInstructionSize = 12
	maxCodeSize        = 2*(programSize*maxInstructionSize+1) + 2
)

// Prefixes of instructions on 64-bit operands, by which of them are r8 to r15:
// that in ModRM's reg field, that in its r/m field (or the base), the index.
const (
	rexReg      = 0x4c
	rexRM       = 0x49
	rexRegRM    = 0x4d
	rexRegIndex = 0x4f
)

const (
	rax = 0
	rdx = 2
)

// direct is the ModRM byte of two registers, of which one may be an opcode's
// extension.
func direct(reg, rm uint8) byte { return 0xc0 | reg<<3 | rm }

// translate appends the machine code of p to b.
func (p *program) translate(b []byte) []byte {
	type fixup struct{ at, target int }                     // a branch's displacement, and its target's instruction
	branches := make([]fixup, 0, 2*programSize/len(layout)) // on the stack; there are about half as many
	b = append(b, 0x31, direct(rdx, rdx))                   // xor edx, edx: no product yet
	target := 0
	for i := range p {
		switch in := &p[i]; in.op {
		case opTarget:
			target = i
		case opBranch:
			b = append(b, 0xf7, direct(0, rdx)) // test edx, imm32
			b = binary.LittleEndian.AppendUint32(b, in.imm)
			b = append(b, 0x0f, 0x84, 0, 0, 0, 0) // jz rel32
			branches = append(branches, fixup{len(b) - 4, target})
		default:
			b = in.translate(b)
		}
	}
	b = append(b, 0xc3) // ret
	var second [programSize]int
	for i := range p {
		second[i] = len(b)
		if op := p[i].op; op != opTarget && op != opBranch {
			b = p[i].translate(b)
		}
	}
	b = append(b, 0xc3)
	for _, f := range branches {
		binary.LittleEndian.PutUint32(b[f.at:], uint32(second[f.target]-(f.at+4)))
	}
	return b
}

// translate appends the machine code of an instruction that is neither target
// nor branch.
func (in *instruction) translate(b []byte) []byte {
	switch in.op {
	case opMulHigh, opSignedMulHigh:
		extension := uint8(4) // mul
		if in.op == opSignedMulHigh {
			extension = 5 // imul
		}
		return append(b, rexReg, 0x89, direct(in.dst, rax), // mov rax, dst
			rexRM, 0xf7, direct(extension, in.src), // rdx:rax = rax × src
			rexRM, 0x89, direct(rdx, in.dst)) // mov dst, rdx
	case opMul:
		return append(b, rexRegRM, 0x0f, 0xaf, direct(in.dst, in.src)) // imul dst, src
	case opSub:
		return append(b, rexRegRM, 0x29, direct(in.src, in.dst)) // sub dst, src
	case opXor:
		return append(b, rexRegRM, 0x31, direct(in.src, in.dst)) // xor dst, src
	case opAddShifted: // lea dst, [dst + src<<imm], where dst is not r13, which needs a displacement
		return append(b, rexRegIndex, 0x8d, in.dst<<3|4, uint8(in.imm)<<6|in.src<<3|in.dst)
	case opRotate:
		return append(b, rexRM, 0xc1, direct(1, in.dst), uint8(in.imm)) // ror dst, imm8
	case opAddConst:
		b = append(b, rexRM, 0x81, direct(0, in.dst)) // add dst, imm32
	case opXorConst:
		b = append(b, rexRM, 0x81, direct(6, in.dst)) // xor dst, imm32
	}
	return binary.LittleEndian.AppendUint32(b, in.imm)
}

// call computes n hashes from that of first on into *out with the code at
// entry. Machine code is no Go: the runtime cannot unwind it, but it takes a
// signal in it for what it is, no place to stop a goroutine at, and has its
// own stack for the handler; the code itself uses none beyond its return
// address, and calls nothing.
//
//go:noescape
func call(entry uintptr, key *sipKey, first uint64, out *uint64, n int)
