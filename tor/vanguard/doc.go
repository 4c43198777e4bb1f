// Package vanguard keeps the second and the third layer of guards of one client: few relays
// that stand behind its guard in circuits to onion services, so that who makes it build many
// of those does not soon own the relay that sees its guard (vanguards-spec: with the second
// alone vanguards-lite, with the third full vanguards).
//
//	relays of the consensus ── weight, Stable ──► layer ── time over, or no longer fit ──► gone
//
// In the second there are guard-hs-l2-number of them (4), each for a time between
// guard-hs-l2-lifetime-min and -max (1 and 12 days; with a third layer 30 and 60); in the third
// guard-hs-l3-number (8, by param-spec and Arti; vanguards-spec says 6), for
// guard-hs-l3-lifetime-min to -max (1 to 48 hours, the greater of two draws). No method takes
// anything that happened on a circuit: nobody out there has a say in which they are (rule 0).
//
// Every change is an Event that is applied by the same function at run time and in replay.
package vanguard
