package hashx

import "math/bits"

// programSize is the number of instructions of every acceptable program.
const programSize = 512

// op is an instruction of the register machine.
type op uint8

const (
	opMulHigh       op = iota // dst = high half of dst × src, unsigned
	opSignedMulHigh           // dst = high half of dst × src, signed
	opMul                     // dst *= src
	opSub                     // dst -= src
	opXor                     // dst ^= src
	opAddShifted              // dst += src << imm, imm in 0..3
	opRotate                  // dst rotated right by imm
	opAddConst                // dst += imm, sign-extended
	opXorConst                // dst ^= imm, sign-extended
	opTarget                  // where the next branch goes
	opBranch                  // to the last target, once a run, if no bit of imm is set in the last wide product
	opNone                    // no instruction yet
)

// instruction is one step of a program. Fields an op has no use for are zero.
type instruction struct {
	op       op
	dst, src uint8
	imm      uint32
}

// program is a generated function body.
type program [programSize]instruction

// run interprets a program, or a part of one, on the registers r; branched, if it
// has had its branch already.
func run(p []instruction, r *[8]uint64, branched bool) {
	target := 0
	var product uint32 // low half of the last wide multiplication's result
	for i := 0; i < len(p); i++ {
		in := &p[i]
		dst, src := &r[in.dst&7], r[in.src&7]
		switch in.op {
		case opMulHigh:
			*dst, _ = bits.Mul64(*dst, src)
			product = uint32(*dst)
		case opSignedMulHigh:
			*dst = signedMulHigh(*dst, src)
			product = uint32(*dst)
		case opMul:
			*dst *= src
		case opSub:
			*dst -= src
		case opXor:
			*dst ^= src
		case opAddShifted:
			*dst += src << (in.imm & 3)
		case opRotate:
			*dst = bits.RotateLeft64(*dst, -int(in.imm))
		case opAddConst:
			*dst += uint64(int32(in.imm))
		case opXorConst:
			*dst ^= uint64(int32(in.imm))
		case opTarget:
			target = i
		case opBranch:
			if !branched && product&in.imm == 0 {
				i, branched = target, true
			}
		}
	}
}

// signedMulHigh is the high half of x × y as two's complement numbers: the
// unsigned one less each factor where the other is negative.
func signedMulHigh(x, y uint64) uint64 {
	high, _ := bits.Mul64(x, y)
	return high - y&uint64(int64(x)>>63) - x&uint64(int64(y)>>63)
}
