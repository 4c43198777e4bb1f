// Package chive is a Tor client as a library: connections over Tor, by host name or to
// onion services, and onion services, from a node that runs in the program itself. There is no child process,
// no cgo, and no listener unless the configuration asks for one.
//
//	c, err := chive.New(ctx, chive.WithDataDirectory(dir))
//	…
//	defer c.Close(ctx)
//	web := &http.Client{Transport: &http.Transport{DialContext: c.DialContext}}
//
// Host names go to the exit as they are; nothing is resolved on this machine. An address
// may be one in .onion.
//
// # Listening
//
// Listen makes the program an onion service: a net.Listener, for http.Serve and the like, with
// no port of this machine in between.
//
//	ln, err := c.Listen(ctx, chive.Service{Folder: dir})
//	…
//	err = http.Serve(ln, handler)
//
// # Isolation
//
// A View is a name for connections that may share circuits; Isolated gives one. Those
// of different names, and those of the Client itself, never share a circuit, so that no
// exit sees them together. An http.Transport keeps connections for the next request,
// whoever asks: give each View a Transport of its own.
//
// # Errors
//
// What is dialled or asked for in vain gives a *net.OpError that holds an *Error, or what
// the context says. errors.Is tells the kind (ErrRefused, ErrNotReady, …), Timeout what
// was too slow, and errors.As with an *OnionError why an onion service is not reached.
//
// What an Error says holds no target; a *net.OpError does, as package net has it. Mind
// that before it is logged.
//
// # How the tree is laid out
//
// Imports point downwards:
//
//	cmd/chive     the command line
//	chive         this package
//	actors/       connections, circuits, streams: sockets, timers, mailboxes
//	supervisor/   restart strategies of those actors
//	bridge/       embedded NATS: events out, requests in
//	tor/          the protocol, pure: no socket, clock, goroutine or log
//	config/       torrc
//	messages/     the events
//	internal/     the private test network and tools
//
// docs/api.md is a guide, docs/architecture.md says more of the tree, and arch_test.go
// holds it to that.
package chive
