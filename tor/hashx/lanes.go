package hashx

import "math/bits"

// What costs an interpreter is to find out what the next instruction is, so
// lanes runs each on many inputs before it goes on to the next. The few inputs
// that branch catch up by themselves.

// laneCount is how many inputs are computed at a time: there is a bit for each
// in a word, and all their registers fit the nearest cache.
const laneCount = 64

// lanes is the registers of many runs, by register.
type lanes [8][laneCount]uint64

// fillLanes is Fill for one input a lane.
func (f *Function) fillLanes(out *[laneCount]uint64, first uint64) {
	var l lanes
	var r [8]uint64
	for n := range out {
		f.registers.registers(&r, first+uint64(n))
		l.set(n, &r)
	}
	l.run(&f.program)
	for n := range out {
		l.get(n, &r)
		out[n] = f.registers.finish(&r)[0]
	}
}

func (l *lanes) get(n int, r *[8]uint64) {
	for i := range r {
		r[i] = l[i][n]
	}
}

func (l *lanes) set(n int, r *[8]uint64) {
	for i, v := range r {
		l[i][n] = v
	}
}

// run interprets p on all lanes.
func (l *lanes) run(p *program) {
	target := 0
	branched := uint64(0)         // a bit for each lane that has
	var product [laneCount]uint64 // results of the last wide multiplication
	for i := range p {
		in := &p[i]
		dst, src := &l[in.dst&7], &l[in.src&7]
		switch in.op {
		case opMulHigh:
			for n := range dst {
				dst[n], _ = bits.Mul64(dst[n], src[n])
			}
			product = *dst
		case opSignedMulHigh:
			for n := range dst {
				dst[n] = signedMulHigh(dst[n], src[n])
			}
			product = *dst
		case opMul:
			for n := range dst {
				dst[n] *= src[n]
			}
		case opSub:
			for n := range dst {
				dst[n] -= src[n]
			}
		case opXor:
			for n := range dst {
				dst[n] ^= src[n]
			}
		case opAddShifted:
			for n := range dst {
				dst[n] += src[n] << (in.imm & 3)
			}
		case opRotate:
			for n := range dst {
				dst[n] = bits.RotateLeft64(dst[n], -int(in.imm))
			}
		case opAddConst:
			for n := range dst {
				dst[n] += uint64(int32(in.imm))
			}
		case opXorConst:
			for n := range dst {
				dst[n] ^= uint64(int32(in.imm))
			}
		case opTarget:
			target = i
		case opBranch:
			for n := range product {
				if bit := uint64(1) << n; branched&bit == 0 && uint32(product[n])&in.imm == 0 {
					branched |= bit
					l.again(n, p[target:i])
				}
			}
		}
	}
}

// again runs one lane once more through what lies between target and branch.
// It will not branch again: its product is of no more interest.
func (l *lanes) again(n int, between []instruction) {
	var r [8]uint64
	l.get(n, &r)
	run(between, &r, true)
	l.set(n, &r)
}
