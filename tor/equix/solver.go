package equix

import "chive/tor/hashx"

// The solver is Wagner's algorithm on sums: three rounds, each of which joins
// the items of a layer in twos whose sums vanish in the next 15 bits. Within a
// layer the items lie in buckets by the low bits of what is left of their
// sums, so that those of a bucket meet only those of one other, and both, with
// a small table by the rest of the 15 bits, stay in the CPU's nearest cache.

// MaxSolutions is how many solutions of a challenge the solver gives at most.
const MaxSolutions = 8

const (
	items = 1 << 16 // hashes of a challenge

	roundBits  = 15
	bucketBits = 8
	buckets    = 1 << bucketBits
	fineBits   = roundBits - bucketBits
	fines      = 1 << fineBits

	// A bucket has 256 items on average with a deviation of 16 or little more;
	// what is beyond its capacity, and the solutions with it, is lost, which
	// costs a solver time and no one correctness.
	slotBits = 9
	capacity = 384
)

// sums is what is left of the sums of a layer's items, by bucket.
type sums struct {
	count [buckets]uint16
	left  [buckets][capacity]uint64
}

// join names two items of the layer below: their slots, and the bucket of the
// one; that of the other is its complement.
type join uint32

func newJoin(bucket, a, b int) join { return join(bucket<<(2*slotBits) | a<<slotBits | b) }

func (j join) parts() (bucket, a, b int) {
	return int(j >> (2 * slotBits)), int(j>>slotBits) & (1<<slotBits - 1), int(j) & (1<<slotBits - 1)
}

func complement(bucket int) int { return -bucket & (buckets - 1) }

// Solver finds solutions. It holds about 2.6 MB from the first to the last of
// them, has no more use for its memory between challenges, and is for one
// goroutine at a time.
type Solver struct {
	hash   hashx.Function
	memory hashx.Memory // for compiled functions, or nil
	batch  [256]uint64

	index [buckets][capacity]uint16 // of the hashes
	pairs [buckets][capacity]join   // of hashes
	quads [buckets][capacity]join   // of pairs

	even, odd sums // of the layer being joined and the one being made, in turns

	// The bucket being joined against, by the rest of the 15 bits: the first
	// slot with each value plus one, and of each slot the next with the same.
	first [fines]uint16
	next  [capacity]uint16
}

// NewSolver allocates a solver. With a memory of at least [hashx.CodeSize] bytes,
// which no other solver uses, it computes hashes with machine code where it
// can, which makes it several times faster; with nil it interprets them.
func NewSolver(memory hashx.Memory) *Solver { return &Solver{memory: memory} }

// Solve appends the solutions of a challenge to dst, at most [MaxSolutions] and
// often none. The error is [hashx.ErrSeed], for a challenge that has none for
// want of a hash function.
func (s *Solver) Solve(dst []Solution, challenge []byte) ([]Solution, error) {
	if err := s.hash.Reset(challenge); err != nil {
		return dst, err
	}
	if s.memory != nil {
		_ = s.hash.Compile(s.memory) // what cannot be compiled is interpreted
	}
	s.fill()
	s.round(&s.even, &s.odd, &s.pairs)
	s.round(&s.odd, &s.even, &s.quads)
	return s.last(dst), nil
}

// Compiled reports whether the last challenge was solved with machine code.
func (s *Solver) Compiled() bool { return s.hash.Compiled() }

// fill makes the bottom layer: all hashes.
func (s *Solver) fill() {
	s.even.count = [buckets]uint16{}
	for first := 0; first < items; first += len(s.batch) {
		s.hash.Fill(s.batch[:], uint64(first))
		for i, hash := range &s.batch {
			bucket := hash % buckets
			if slot := s.even.count[bucket]; slot < capacity {
				s.even.left[bucket][slot] = hash
				s.index[bucket][slot] = uint16(first + i)
				s.even.count[bucket] = slot + 1
			}
		}
	}
}

// round makes of a layer the one above it.
func (s *Solver) round(in, out *sums, joins *[buckets][capacity]join) {
	out.count = [buckets]uint16{}
	s.each(in, func(bucket, a, b int, sum uint64) {
		sum >>= roundBits
		to := sum % buckets
		if slot := out.count[to]; slot < capacity {
			out.left[to][slot] = sum
			joins[to][slot] = newJoin(bucket, a, b)
			out.count[to] = slot + 1
		}
	})
}

// last joins the quads to solutions.
func (s *Solver) last(dst []Solution) []Solution {
	most := len(dst) + MaxSolutions
	s.each(&s.even, func(bucket, a, b int, sum uint64) {
		if sum&quadMask == 0 && len(dst) < most {
			dst = append(dst, s.solution(bucket, a, b))
		}
	})
	return dst
}

// each calls f for every two items of a layer whose sum vanishes in the next
// 15 bits, once.
func (s *Solver) each(in *sums, f func(bucket, a, b int, sum uint64)) {
	for bucket := range buckets/2 + 1 {
		other := complement(bucket)
		s.first = [fines]uint16{}
		if other != bucket {
			for b, sum := range in.left[other][:in.count[other]] {
				s.insert(b, sum)
			}
		}
		for a, sum := range in.left[bucket][:in.count[bucket]] {
			for slot := s.first[-sum>>bucketBits%fines]; slot != 0; {
				b := int(slot - 1)
				f(bucket, a, b, sum+in.left[other][b])
				slot = s.next[b]
			}
			if other == bucket { // against itself: each item meets those before it
				s.insert(a, sum)
			}
		}
	}
}

func (s *Solver) insert(slot int, sum uint64) {
	fine := sum >> bucketBits % fines
	s.next[slot] = s.first[fine]
	s.first[fine] = uint16(slot + 1)
}

// solution walks from two quads down to the hashes' indices.
func (s *Solver) solution(bucket, a, b int) (out Solution) {
	i := 0
	for _, quad := range [2]join{s.quads[bucket][a], s.quads[complement(bucket)][b]} {
		bucket, a, b := quad.parts()
		for _, pair := range [2]join{s.pairs[bucket][a], s.pairs[complement(bucket)][b]} {
			bucket, a, b := pair.parts()
			out[i], out[i+1] = s.index[bucket][a], s.index[complement(bucket)][b]
			i += 2
		}
	}
	out.order()
	return out
}
