// Package directory is the actor that keeps the view of the network: it loads
// the cache, fetches and verifies the consensus, the authorities' certificates
// and the microdescriptors, and tells whoever builds circuits.
//
//	cache ──► consensus ──► certificates ──► microdescriptors ──► complete
//	              ▲                                                  │
//	              └──────── refresh time, a random moment ◄──────────┘
//
// The refresh asks for a diff from the consensus in the cache, and takes the whole
// consensus as well; what a diff gives is verified like any other. What one directory
// lacks, another is asked for.
//
// One worker goroutine does the steps in order; the actor owns it and passes
// on what it finds. Every document is verified before it is used or stored,
// and again when it is loaded. A source that fails or lies is left alone for a
// while; what was verified before stays in use until 24 hours after its end.
//
// dir-spec §4.5 (diffs), §5 (client operation), path-spec §2.1.0 (how much is enough).
package directory
