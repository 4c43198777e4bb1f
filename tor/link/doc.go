// Package link is the initiator's side of the link handshake: what a client
// and a relay say to each other on a fresh TLS session before circuits can be
// made, and the proof that the relay is the one that was asked for.
//
// It is a pure state machine: bytes received and the time go in, bytes to send
// and an outcome come out. However the bytes are cut up, the outcome is the
// same.
//
//	       Start: send VERSIONS
//	             │
//	             ▼
//	      ┌─ versions ──VERSIONS──▶ certs ──CERTS──▶ challenge ──AUTH_CHALLENGE──▶ netinfo ─┐
//	      │      │                    │                  │                            │    │ NETINFO:
//	VPADDING ◀───┴────────────────────┴──────────────────┴────────────────────────────┘    │ send NETINFO
//	(dropped)                    any other cell: failed (ErrProtocol)                     ▼
//	                             chain not proven: failed (ErrCert, ErrExpired, …)       done
//
// An initiator that is a client does not authenticate itself, so the challenge
// is only parsed. The relay must prove both its RSA and its Ed25519 identity;
// tor/cert names the certificates.
//
// Two readings of the specification are stricter here than there: a second
// VERSIONS cell ends the handshake instead of being ignored, and AUTHORIZE,
// reserved and never sent, is refused.
//
// Specification: tor-spec section 4 (4.1 versions, 4.2 certificates, 4.3
// challenge, 4.5 NETINFO). Left to others: the socket, TLS, and when to give
// up waiting (actors). Package linktest is the relay's side, for tests.
package link
