package pow

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/blake2b"

	"chive/tor/equix"
)

// Seed is what a service's puzzles of a time have in common.
type Seed [32]byte

// SeedHead tells a proof's seed from the few that may be valid.
type SeedHead [4]byte

// Head is the start of s.
func (s *Seed) Head() SeedHead { return SeedHead(s[:4]) }

// Nonce is where in the search a solution was found.
type Nonce [16]byte

// next is the nonce after n, as little-endian numbers.
func (n *Nonce) next() {
	for i := range n {
		n[i]++
		if n[i] != 0 {
			return
		}
	}
}

// Puzzle is what a client has to solve: the same for all who contact a service
// in the life of a seed, but for the effort and nonce they choose.
type Puzzle struct {
	BlindedID [32]byte // KP_hs_blind_id of the descriptor's time period
	Seed      Seed
	Effort    uint32
}

const (
	personalization = "Tor hs intro v1\x00"
	nonceOffset     = len(personalization) + 32 + 32
	challengeSize   = nonceOffset + len(Nonce{}) + 4
	checkedSize     = challengeSize + equix.Size
)

// challenge is P || ID || C || N || E with room for a solution after it.
type challenge [checkedSize]byte

func (p *Puzzle) challenge(n Nonce) *challenge {
	var c challenge
	b := append(c[:0], personalization...)
	b = append(b, p.BlindedID[:]...)
	b = append(b, p.Seed[:]...)
	b = append(b, n[:]...)
	binary.BigEndian.PutUint32(c[len(b):], p.Effort)
	return &c
}

func (c *challenge) setNonce(n Nonce)    { copy(c[nonceOffset:], n[:]) }
func (c *challenge) equix() []byte       { return c[:challengeSize] }
func (c *challenge) solution() []byte    { return c[challengeSize:] }
func (c *challenge) claimed() (e uint32) { return binary.BigEndian.Uint32(c[challengeSize-4:]) }

// pays reports whether the solution in c is worth the effort it claims: its
// 32-bit BLAKE2b hash with the challenge, times the effort, fits in 32 bits.
func (c *challenge) pays() bool {
	h, err := blake2b.New(4, nil)
	if err != nil {
		panic(fmt.Sprintf("pow: BLAKE2b of four bytes: %v", err))
	}
	h.Write(c[:])
	var sum [4]byte
	h.Sum(sum[:0])
	return uint64(binary.BigEndian.Uint32(sum[:]))*uint64(c.claimed()) <= 1<<32-1
}
