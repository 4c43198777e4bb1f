// Package bridge joins a node to NATS: an embedded server, the publisher of
// events, the control requests, and the client side for the command line. It is
// the only package that imports NATS.
//
//	actors ─► messages.Recorder (ring) ─► publisher ─► embedded server ─► chive.v1.<fleet>.<node>.evt.…
//	chive status, chive events ─► control.sock ─► in-process connection ─► …ctl.<verb>
//	other NATS clients ─► NatsListen (loopback, nkey) ─────────────────────► events, read-only verbs
//
// The server has no TCP listener unless NatsListen asks for one. Every client
// authenticates with an nkey: the node itself, the command line (the seed in
// control.nk, new at each boot, mode 0600), and observers (NatsCredentialFile).
// Only fields of the lifecycle tier and below are ever published. Nothing in
// the data path waits for NATS: a full ring drops events and counts them.
package bridge
