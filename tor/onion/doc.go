// Package onion holds what the parties of a version 3 onion service compute
// alike: names, keys that change with time, and the relays that store a
// service's descriptor.
//
// Vocabulary. A service is its *identity key*; an [Address] is that key with a
// checksum. Time is cut into *periods* ([Schedule], [Period]); in each period the
// service signs with a *blinded key*, which whoever knows the address derives
// ([Address.Blind]) and nobody else links to it. The *subcredential* of a period
// is the proof of knowing the address. Descriptors lie at the *responsible*
// directories ([Ring]): the first few after the service's place on a hash ring
// that a *shared random value* of the consensus shuffles for each period.
//
//	Address ──Blind(period)──▶ BlindedKey ──▶ places on the ring (one a replica)
//	                                              │
//	consensus ──▶ Network ──Fetch, Store──▶ Slot ─┴─▶ Ring.Responsible
//
// A client fetches at [Network.Fetch]; a service keeps two descriptors alive and
// stores them at the two slots of [Network.Store], so that clients with an older
// or a newer consensus find one.
//
// Specification: rend-spec-v3 sections 2.1, 2.2 and 6 and appendices A and F.2.
// Where C tor and the text differ C tor is followed, and the comment says so.
//
// Left to others: the descriptor (package descriptor), the messages of
// introduction and rendezvous (package relaymsg), the handshake (package
// handshake), key files (package keyfile). Nothing here does I/O.
package onion
