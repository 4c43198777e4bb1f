// Package equix is Equi-X, the client puzzle of the onion services' proof of
// work (proposal 327, hspow-spec "v1-equix"): Equihash(60,3) over the HashX
// function a challenge picks.
//
// A solution is eight 16-bit indices whose hashes sum to zero in their low 60
// bits, such that the sums of the first, second, third and fourth two vanish
// in 15 bits and those of the first and second four in 30, and in the one
// order of the tree's branches that is canonical:
//
//	        Σ₀₋₇ ≡ 0 mod 2⁶⁰
//	   Σ₀₋₃ ≡ 0     Σ₄₋₇ ≡ 0     mod 2³⁰
//	 Σ₀₁  Σ₂₃      Σ₄₅  Σ₆₇      mod 2¹⁵
//	h₀ h₁ h₂ h₃  h₄ h₅ h₆ h₇
//
// A challenge has two solutions on average, often none. To find them takes
// 65536 hashes and a few megabytes, to verify one takes eight hashes and no
// memory: [Solver] and [Verifier]. Either is reused from challenge to
// challenge without allocation.
package equix
