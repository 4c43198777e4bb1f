// Package chive is a fleet-native Tor client. Its command is in cmd/chive; the
// Go API that dials and listens over Tor will be here.
//
// How the tree is laid out, and which way imports point:
//
//	cmd/chive     the command line
//	actors/       connections, circuits, streams: sockets, timers, mailboxes
//	supervisor/   restart strategies of those actors
//	bridge/       embedded NATS: events out, requests in
//	tor/          the protocol, pure: no socket, clock, goroutine or log
//	config/       torrc
//	messages/     the events
//	internal/     the private test network and tools
//
// docs/architecture.md says more; arch_test.go holds the tree to it.
package chive
