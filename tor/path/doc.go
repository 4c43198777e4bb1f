// Package path chooses relays for circuits from a verified consensus and its
// microdescriptors: an immutable Index built once a consensus, and weighted
// random picks from it.
//
// Vocabulary: a position is what a relay is to be in a circuit (guard, middle,
// exit, or the one hop of a directory circuit). The class of a relay is its
// pair of Guard and Exit flags, and each position × class has a bandwidth
// weight in the consensus (Wgg, Wmd, …). A rule is one reason why a relay may
// not take a position; a choice that no relay survives names the rule that
// emptied it.
//
// The rules (path-spec §2.2, guard-spec §4.0, dir-spec §3.4.1, proposal 335):
//
//	every hop   Running, Valid, Fast; an IPv4 address; an ntor key and an
//	            Ed25519 identity that the authorities agree on
//	guard       Guard, Stable, V2Dir; never MiddleOnly
//	exit        policy summary carries the port; never BadExit or MiddleOnly
//	long-lived  every hop Stable
//	together    three different relays, no two in one family (both list the
//	            other, or a shared family id) or, unless switched off, in one
//	            IPv4 /16 or IPv6 /32
//
// The weights are those of dir-spec §3.8.3 and path-spec §2.2. A pick samples
// from the whole position and rejects what the rules forbid, a bounded number
// of times; then it weighs what the rules leave. Both give the same
// distribution, and the second always ends. Only where all that is left has
// weight zero is the choice uniform, as C tor's is.
//
// Path takes the guard first and then an exit that does not conflict with it.
// path-spec picks the exit first, which lets an exit decide, by its family or
// its address, which of our guards a circuit uses; nobody but our own
// connections may (see package guard).
//
// Circuits to reach onion services by have shapes of their own (shape.go, onion.go): one
// table says what each hop of each purpose is, and paths are made and checked by it.
//
// Left to others: which guards there are (package guard), when to build
// circuits, and country or node lists of the user.
package path
