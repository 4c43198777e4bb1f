// Package vanguard keeps the second layer of guards of one client: few relays that stand
// behind its guard in circuits to onion services, so that who makes it build many of those
// does not soon own the relay that sees its guard (proposal 333, vanguards-lite).
//
//	relays of the consensus ── weight, Stable ──► layer ── time over, or no longer fit ──► gone
//
// There are guard-hs-l2-number of them (4), each for a time drawn evenly between
// guard-hs-l2-lifetime-min and -max (1 and 12 days), as in C tor. No method takes anything
// that happened on a circuit: nobody out there has a say in which they are (rule 0).
//
// Every change is an Event that is applied by the same function at run time and in replay.
package vanguard
