// Package relaymsg encodes and decodes the relay messages with which clients and
// onion services meet: the data of the relay cells that carry them.
//
//	service ─ESTABLISH_INTRO──▶ introduction point ─INTRO_ESTABLISHED─▶ service
//	client ──ESTABLISH_REND───▶ rendezvous point ───REND_ESTABLISHED──▶ client
//	client ──INTRODUCE1───────▶ introduction point ─INTRODUCE2────────▶ service
//	                                       └────────INTRODUCE_ACK─────▶ client
//	service ─RENDEZVOUS1──────▶ rendezvous point ───RENDEZVOUS2───────▶ client
//
// The introduction's inner part, the [Request], is sealed by the hs-ntor handshake
// (package handshake): [Introduce1] and [ParseIntroduce2] join the two.
//
// What a relay sends and receives is here too, so that test relays speak the
// same. Each parser takes the data of one message, keeps no reference to it unless
// it says so, and ignores what the specification tells to ignore: extensions it
// does not know, repeated extensions, padding.
//
// Specification: rend-spec-v3 sections 3 and 4; the extensions of proposals 305
// (denial of service), 324 (congestion control) and 327 (proof of work).
package relaymsg
