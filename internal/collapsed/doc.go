// Package collapsed is a Tor network that costs next to nothing: six relays of package
// relaydouble in one process, which holds the keys of every hop and so ends all layers of a
// circuit itself. A client before it is what is at work; before real relays on the same
// machine it mostly waits for them.
//
// The network has a directory of its own (package netdoctest): a consensus signed by one
// authority, whose relays offer congestion control and, if wanted, Counter Galois Onion.
//
//	client ══TLS══▶ guard ┐
//	                middle├ one process ── N.source.test: N bytes, then the end
//	                exit  ┘                N.sink.test:   a byte once N bytes came
//	                                       N.paced.test:  N bytes at PacedRate, then the end
//	                                       hold.test:     nothing
//
// It proves nothing about the protocol. For benchmarks alone.
package collapsed
