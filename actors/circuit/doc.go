// Package circuit is the actor that owns one circuit: it feeds the pure state
// machine of tor/circuit with what its connection brings and with the wishes
// of its streams, which are its children.
//
//	waiting ── link ready ──► building ── last hop ──► open ──► closing ──► gone
//	   │ no link                 │ DESTROY, timeout,     DESTROY, violation,  ▲
//	   │                         │ violation             connection lost,     │
//	   └─────────────────────────┴─────────────────────► Close ───────────────┘
//
// closing waits until every stream has ended or was handed back, so that the
// log always reads: streams end, then their circuit closes.
//
// A conflux set is a circuit whose core has no hops (set.go): it carries its streams over
// legs, which are circuits and its children. A leg seals and opens cells and keeps the
// windows; what a stream says goes as a block of messages between it and the set.
//
// Messages it understands: Attach, Close; blocks of kind CellsIn from the
// connection's reader and DataOut from its streams; connection.Lost;
// connections.Ready and Failed; stream.Consumed and Finish. It tells its
// parent: Opened, StreamBack, Tired, Gone.
//
// The data path makes no copy where one stream takes a whole batch: cells are
// decrypted in place, their payloads moved together in the same block, and the
// block goes on to the stream.
package circuit
