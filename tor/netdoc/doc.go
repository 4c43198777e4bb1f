// Package netdoc reads the directory documents a client needs: the microdesc-flavour consensus, authority
// certificates and microdescriptors; and it says which of them to believe.
//
//	authority certificates ──ParseAuthCerts──► []*AuthCert ───────────┐
//	consensus ──ParseConsensus──► *Consensus ──Verify(trusted, certs)─┴─► believed ──CheckTime──► usable
//	microdescriptors ──ParseMicrodescs──► *Microdesc, believed if its Digest is a relay's MD in the consensus
//
// Vocabulary: a document is a sequence of items; an item is a keyword line with an optional object in PEM style
// (dir-spec 1.2). An authority has a v3 identity (digest of a long-term key), whose certificate vouches for the
// signing key under the consensus. A relay is listed with its RSA identity and the digest of its microdescriptor.
//
// Specification: dir-spec 1.2-1.3 (format, signatures), 3.1 (certificates), 3.3 (microdescriptors), 3.4.1 and
// 3.9.2 (consensus), 3.8.2 (policy summaries), 5.1 (lifetimes), tor-spec 9 (protocol lists). Newer than these:
// consensus method 35's "family-ids" and method 36's "onion-key" without a key are read.
//
// Rules kept throughout: every text has absolute caps, and a NUL byte refuses it; nothing is stricter than the
// authorities are, so what we do not know (items, flags, protocols, algorithms) is ignored; results never alias
// the text they came from; a relay listed twice refuses the consensus. Not read, because the consensus has said it
// already or no client may use it: publication times, "a" and "pr" in microdescriptors, TAP keys.
//
// Left to others: downloading and caching (package dirproto, the directory actor), choosing relays (package path),
// consensus diffs, votes, the "ns" flavour and server descriptors.
package netdoc
