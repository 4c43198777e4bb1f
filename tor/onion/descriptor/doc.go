// Package descriptor reads and writes the descriptors of onion services: what a
// client must know to be introduced, signed with the period's blinded key and
// encrypted twice.
//
//	outer document   signed; readable by the directories that store it
//	 └ superencrypted  opened by the subcredential: who knows the address
//	    └ encrypted      opened by the subcredential and, if the service
//	                     restricts discovery, by an authorised client's key
//	       └ introduction points
//
//	bytes ──Open(blinded key)──▶ *Sealed ──Decrypt(subcredential, client key)──▶ *Descriptor
//	*Descriptor ──Signer.Build──▶ bytes
//
// Open has verified the signatures, so a *Sealed is the service's own word;
// nothing in the text is looked at before. An introduction point that breaks the
// rules (certificates, link specifiers, a zero or low-order key) is left out and
// counted, and the others are kept, as C tor does.
//
// Specification: rend-spec-v3 sections 2.4 and 2.5; the line flow-control of
// proposal 324, pow-params of proposal 327, and proto, an experiment of Arti's.
// Unknown lines are ignored. Randomness and time are passed in.
//
// Left to others: where descriptors lie (package onion), transport and caching.
package descriptor
