package hashx

import (
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/blake2b"
)

// ErrSeed says that a seed yields no acceptable program. It is no fault of the
// caller's: another seed is to be tried.
var ErrSeed = errors.New("hashx: the seed yields no acceptable program")

// Function is one member of the family. The zero Function has no program:
// Reset it before the first use. It is for one goroutine at a time.
type Function struct {
	program   program
	registers sipKey

	seedHash hash.Hash // reused from seed to seed, with what it gives
	seedSum  [blake2b.Size]byte

	entry  uintptr // of the compiled program, zero if there is none
	memory Memory  // that holds it
	code   []byte  // scratch of the compiler
}

// Reset makes f the function of a seed, in place. On [ErrSeed] f is of no use
// until it is reset to another seed.
func (f *Function) Reset(seed []byte) error {
	keys := f.deriveKeys(seed)
	f.registers, f.entry = keys[1], 0
	if !f.program.generate(&keys[0]) {
		return ErrSeed
	}
	return nil
}

// Sum64 is the hash of a word: the first 64 bits of HashX's output, all that
// Equi-X uses.
func (f *Function) Sum64(word uint64) uint64 {
	if f.entry == 0 {
		return f.sum(word)[0]
	}
	var out [1]uint64
	f.fillCompiled(out[:], word)
	return out[0]
}

// Fill sets out[i] to the hash of first+i.
func (f *Function) Fill(out []uint64, first uint64) {
	if f.entry != 0 {
		f.fillCompiled(out, first)
		return
	}
	for ; len(out) >= laneCount; first += laneCount {
		f.fillLanes((*[laneCount]uint64)(out), first)
		out = out[laneCount:]
	}
	for i := range out {
		out[i] = f.sum(first + uint64(i))[0]
	}
}

// sum is the hash of a word with all its 256 bits, interpreted.
func (f *Function) sum(word uint64) [4]uint64 {
	var r [8]uint64
	f.registers.registers(&r, word)
	run(f.program[:], &r, false)
	return f.registers.finish(&r)
}

// deriveKeys hashes a seed to the program key and the register key.
func (f *Function) deriveKeys(seed []byte) (keys [2]sipKey) {
	if f.seedHash == nil {
		f.seedHash = newBlake2b()
	}
	if err := f.seedHash.(encoding.BinaryUnmarshaler).UnmarshalBinary(saltedState); err != nil {
		panic(fmt.Sprintf("hashx: BLAKE2b refuses its own state: %v", err))
	}
	f.seedHash.Write(seed)
	f.seedHash.Sum(f.seedSum[:0])
	for i := range 8 {
		keys[i/4][i%4] = binary.LittleEndian.Uint64(f.seedSum[i*8:])
	}
	return keys
}

func newBlake2b() hash.Hash {
	h, err := blake2b.New512(nil)
	if err != nil {
		panic(fmt.Sprintf("hashx: BLAKE2b without a key: %v", err))
	}
	return h
}

// saltedState is BLAKE2b-512's initial state with the salt "HashX v1". A salt
// is XORed into the chaining words 4 and 5 (the BLAKE2 paper's parameter
// block; RFC 7693 leaves salts out, and so does the library's API, but the
// library gives its state out and takes it back).
var saltedState = func() []byte {
	const salt = "HashX v1"
	const wordOffset = len("b2b") + 4*8 // after the format's mark, words are big-endian
	state, err := newBlake2b().(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		panic(fmt.Sprintf("hashx: BLAKE2b does not give its state: %v", err))
	}
	word := state[wordOffset : wordOffset+8]
	binary.BigEndian.PutUint64(word, binary.BigEndian.Uint64(word)^binary.LittleEndian.Uint64([]byte(salt)))
	return state
}()
