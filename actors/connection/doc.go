// Package connection is the actor that owns one connection: the TLS link to
// one relay. It dials, proves the relay's identity, and then lets circuits use
// the link.
//
//	        dialled             VERSIONS…NETINFO        read, write or
//	(start) ───────► dialling ──────────────────► open ─── protocol error ──► closed
//	                    │ any failure                        or Close
//	                    └──────────────────────────────────────────────────► failed
//
// Messages it understands: Pad, Doubt, Close. Messages it sends its parent: Up once, then
// Down once; only Down if it never came up; in between Silent, at most once, if the
// relay does not answer any more (silence.go). It then stops; nothing restarts it.
//
// Bytes do not pass through its mailbox. One goroutine reads what one TLS read
// gives, groups the cells by circuit and posts one block a circuit straight to
// that circuit's actor; who sends writes, or while the socket is full one goroutine does,
// the quietest circuit's cells first. See Link.
//
// tor-spec §2 (connections), §3 (cells), §4 (handshake, by tor/link).
package connection
