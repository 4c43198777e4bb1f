// Package messages holds chive's vocabulary: the protobuf definitions of the
// events (generated Go in chivev1) and what follows from them alone.
//
// Terms: an event is a fact in the past tense, wrapped in an Envelope; its
// subject is one actor, named by Kind and a per-boot random id; its Verb is
// what happened ("opened"). A tier says where a field may go (see tier.proto):
// aggregate anywhere, lifecycle on NATS inside the node, forensic nowhere in
// clear.
//
//	actors ── Emit ──► Recorder ──┬─ Observe: in-process, synchronous (status, tests)
//	                              └─ Drain: one consumer, batched (the bridge)
//
// Emit never blocks. When the ring between actors and consumer is full the
// newest event is dropped, so that what the consumer has is a prefix without
// holes, and EventsDropped marks the exact place and size of the hole.
//
// An Envelope is read-only from the moment it is emitted. Everything here but
// the Recorder is stateless. NATS itself, the history and the subscriptions
// are the bridge's; state machines over events are in fold.
package messages

//go:generate go run ../internal/protogen/cmd
