package hashx

// The generator models the integer side of an Ivy Bridge core: three ports,
// three micro-operations decoded a cycle, fixed latencies. It lays
// instructions into that model's schedule until it is full; every draw from
// the random stream, and its order, is part of HashX.

const (
	scheduleCycles = 192                // an instruction that would start here or later ends the program
	portCycles     = scheduleCycles + 4 // how far ahead the ports are booked
	decodeWidth    = 3                  // slots in a cycle

	// What an acceptable program has besides its size.
	programMultiplications = 192
	programLatency         = 194 // cycle at which the last result is ready

	branchBits = 4 // a branch is taken once in 2^4 products

	// leaBarred cannot be the destination of an x86 LEA without a displacement.
	leaBarred = 5
)

// ports is a set of execution ports.
type ports uint8

const (
	port5 ports = 1 << iota // preferred, to leave port 1 to multiplications
	port0
	port1 // last choice: the only one that multiplies

	anyPort = port5 | port0 | port1
)

// trait is what the generator knows of an op.
type trait struct {
	group    op    // ops of a group do not follow each other, nor repeat on a register with the same parameter
	latency  int   // cycles from start to result
	first    ports // where its micro-operations can run;
	second   ports // the second is empty for most
	hasSrc   bool
	hasDst   bool
	mayAlias bool   // dst may be src
	immMask  uint32 // bits of a constant drawn for it
	immZero  bool   // the constant may be zero
}

var traits = [opNone]trait{
	opMulHigh:       {group: opMulHigh, latency: 4, first: port1, second: port5, hasSrc: true, hasDst: true, mayAlias: true},
	opSignedMulHigh: {group: opSignedMulHigh, latency: 4, first: port1, second: port5, hasSrc: true, hasDst: true, mayAlias: true},
	opMul:           {group: opMul, latency: 3, first: port1, hasSrc: true, hasDst: true},
	opSub:           {group: opAddShifted, latency: 1, first: anyPort, hasSrc: true, hasDst: true},
	opXor:           {group: opXor, latency: 1, first: anyPort, hasSrc: true, hasDst: true},
	opAddShifted:    {group: opAddShifted, latency: 1, first: port0 | port1, hasSrc: true, hasDst: true, immMask: 3, immZero: true},
	opRotate:        {group: opRotate, latency: 1, first: port0 | port5, hasDst: true, immMask: 63},
	opAddConst:      {group: opAddConst, latency: 1, first: anyPort, hasDst: true, immMask: ^uint32(0)},
	opXorConst:      {group: opXorConst, latency: 1, first: anyPort, hasDst: true, immMask: ^uint32(0)},
	opTarget:        {group: opTarget, latency: 1, first: anyPort, second: anyPort},
	opBranch:        {group: opBranch, latency: 1, first: anyPort, second: anyPort},
}

// layout says what may be decoded in each slot, over and over: a
// multiplication, a wide one, the target, the branch, or any of the rest.
const layout = "MT." + "M.." + "M.." + "M.." + "W.." + "M.." +
	"MB." + "M.." + "W.." + "M.." + "M.." + "M.."

// wideChoice and simpleChoice are the ops a random index picks from. The
// first four simple ones need no source register, so a retry, which has just
// failed for want of a register, picks from these alone.
var (
	wideChoice   = [2]op{opSignedMulHigh, opMulHigh}
	simpleChoice = [8]op{opRotate, opXorConst, opAddConst, opAddConst, opSub, opXor, opXorConst, opAddShifted}
)

// noParameter stands for an operand that is a constant: two operations of one
// group with constants fold into one, whatever the constants.
const noParameter = ^uint32(0)

// register is the state of a register in the schedule.
type register struct {
	ready     int // cycle from which it can be read or written
	group     op  // what was last done to it
	parameter uint32
}

type generator struct {
	random    random
	busy      [portCycles]ports
	registers [8]register
	lastGroup op // of the last op drawn, placed or not
	retry     bool
	cycle     int
}

// generate fills p from the program key. It reports whether the program is
// acceptable.
func (p *program) generate(key *sipKey) bool {
	g := generator{random: random{key: key}, lastGroup: opNone}
	for i := range g.registers {
		g.registers[i] = register{group: opNone, parameter: noParameter}
	}
	size, multiplications, latency, slot := 0, 0, 0, 0
	for size < len(p) {
		g.cycle = slot / decodeWidth
		in, parameter, start := g.draw(layout[slot%len(layout)])
		if start < 0 { // the schedule is full
			break
		}
		t := &traits[in.op]
		if !g.assign(&in, t, parameter, start) {
			if g.retry { // twice in vain: leave a cycle empty
				slot += decodeWidth
			}
			g.retry = !g.retry
			continue
		}
		g.retry = false
		if start >= scheduleCycles {
			break
		}
		if t.hasDst {
			latency = max(latency, start+t.latency)
		}
		if in.op <= opMul {
			multiplications++
		}
		p[size] = in
		size++
		slot++
		if t.second != 0 {
			slot++
		}
	}
	return size == len(p) && multiplications == programMultiplications && latency == programLatency
}

// draw picks an op for a slot with its constant, the parameter by which it
// counts as a repetition (that of an op with a source is known later), and
// the earliest cycle it can start at, -1 if there is none.
func (g *generator) draw(slot byte) (in instruction, parameter uint32, start int) {
	in.op = g.drawOp(slot)
	t := &traits[in.op]
	g.lastGroup = t.group
	parameter = noParameter
	switch {
	case in.op == opBranch:
		for n := 0; n < branchBits; {
			if bit := uint32(1) << (g.random.byte() % 32); in.imm&bit == 0 {
				in.imm |= bit
				n++
			}
		}
	case t.immMask != 0:
		for ok := false; !ok; ok = in.imm != 0 || t.immZero {
			in.imm = g.random.word() & t.immMask
		}
	case t.mayAlias: // a wide product repeated is not foldable: never equal but by chance
		parameter = g.random.word()
	}
	return in, parameter, g.earliest(t)
}

func (g *generator) drawOp(slot byte) op {
	switch slot {
	case 'M':
		return opMul
	case 'T':
		return opTarget
	case 'B':
		return opBranch
	case 'W':
		return wideChoice[g.random.byte()%uint8(len(wideChoice))]
	}
	choice := uint8(len(simpleChoice))
	if g.retry {
		choice /= 2
	}
	for {
		if o := simpleChoice[g.random.byte()%choice]; traits[o].group != g.lastGroup {
			return o
		}
	}
}

// assign gives in its registers and books its ports at the cycle start. It
// reports whether there were registers for it; if not, nothing is booked.
func (g *generator) assign(in *instruction, t *trait, parameter uint32, start int) bool {
	if t.hasSrc {
		src, ok := g.source(in.op, start)
		if !ok {
			return false
		}
		in.src = src
		if !t.mayAlias {
			parameter = uint32(src)
		}
	}
	if t.hasDst {
		dst, ok := g.destination(in, t, parameter, start)
		if !ok {
			return false
		}
		in.dst = dst
		g.registers[dst] = register{ready: start + t.latency, group: t.group, parameter: parameter}
	}
	g.book(t.first, start)
	if t.second != 0 {
		g.book(t.second, start)
	}
	return true
}

// source draws a register that is ready at a cycle.
func (g *generator) source(o op, cycle int) (uint8, bool) {
	var ready [8]uint8
	n := 0
	for i := range g.registers {
		if g.registers[i].ready <= cycle {
			ready[n] = uint8(i)
			n++
		}
	}
	// Of two the barred one must be the source, else none is left to write to.
	if o == opAddShifted && n == 2 && (ready[0] == leaBarred || ready[1] == leaBarred) {
		return leaBarred, true
	}
	return g.pick(ready[:n])
}

// destination draws a register that is ready at a cycle and on which the
// instruction is neither an identity, nor foldable into the one before, nor
// the second narrow multiplication in a row, which piles up zero bits (in a
// retry that is allowed, lest the schedule stall).
func (g *generator) destination(in *instruction, t *trait, parameter uint32, cycle int) (uint8, bool) {
	var free [8]uint8
	n := 0
	for i := range g.registers {
		r := &g.registers[i]
		switch {
		case r.ready > cycle,
			t.hasSrc && !t.mayAlias && uint8(i) == in.src,
			t.group == opMul && r.group == opMul && !g.retry,
			r.group == t.group && r.parameter == parameter,
			in.op == opAddShifted && i == leaBarred:
			continue
		}
		free[n] = uint8(i)
		n++
	}
	return g.pick(free[:n])
}

// pick draws one of a set of registers; where there is no choice it draws
// nothing.
func (g *generator) pick(set []uint8) (uint8, bool) {
	switch len(set) {
	case 0:
		return 0, false
	case 1:
		return set[0], true
	}
	return set[g.random.word()%uint32(len(set))], true
}

// earliest is the first cycle from now at which an op can start, -1 if none is
// in reach. Both micro-operations must find a port in the same cycle, but each
// is asked for by itself.
func (g *generator) earliest(t *trait) int {
	for c := g.cycle; c < portCycles; c++ {
		free := ^g.busy[c]
		if free&t.first != 0 && (t.second == 0 || free&t.second != 0) {
			return c
		}
	}
	return -1
}

// book takes the preferred free port of a set, in the first cycle from start
// that has one: a second micro-operation can slip past its first.
func (g *generator) book(set ports, start int) {
	for c := start; c < portCycles; c++ {
		if free := set &^ g.busy[c]; free != 0 {
			g.busy[c] |= free & -free
			return
		}
	}
}
