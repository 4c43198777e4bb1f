// Package linktest is the relay's side of the link handshake, for tests: the
// identities and certificates of a relay, every way in which they can be wrong
// that a client must notice, and a pure responder.
//
// It proves nothing about real relays; tor/link has a test against C tor.
package linktest
