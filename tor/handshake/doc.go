// Package handshake agrees circuit keys with one relay: the ntor and ntor-v3 handshakes
// that CREATE2 and EXTEND2 carry, and the CREATE_FAST handshake for a first hop whose
// identity TLS has already proven.
//
// Vocabulary: the client sends an *onionskin*, the relay answers with a *reply*,
// and both sides derive the same [KeyMaterial], which package relaycrypto turns
// into one layer of circuit encryption. The client half comes in two steps
// because a network round trip lies between them:
//
//	StartNtor ──onionskin (84)──▶ relay: ServeNtor
//	    │                              │
//	    ▼                              ▼
//	  *Ntor ◀──────reply (64)───── KeyMaterial
//	    │ Finish
//	    ▼
//	KeyMaterial            the state is spent, whether or not Finish succeeded
//
// In ntor-v3 ([StartNtor3]) either side also says something that only the other can read:
// a [Wish] of the client's and what the relay grants.
//
// A finished handshake proves that the relay holds the private onion key (ntor)
// or nothing beyond what TLS proved (CREATE_FAST).
//
// Between a client and an onion service runs hs-ntor ([HSNtor], [HSNtorService]),
// whose first message also carries a sealed text and whose keys are larger.
//
// Implements tor-spec sections 5.1.4, 5.1.5, 5.2.1 and 5.2.2; ntor was specified
// first in proposal 216, ntor-v3 is proposal 332, hs-ntor is in rend-spec-v3 section
// 3.3.2. Randomness is passed in, nothing here does I/O.
//
// Left to others: cell framing (package cell), which relay to ask and which onion
// key it has (package path), and whether a network still wants CREATE_FAST (the
// "usecreatefast" consensus parameter). TAP is recognised by number only: no relay
// that can carry traffic today needs it.
package handshake
