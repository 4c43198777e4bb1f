// Package stream is the actor that owns one stream: it joins the socket of an
// application (or of our own directory client) with a stream of a circuit.
//
//	          Connected               END, or application done
//	pending ────────────► open ──────────────────────────────────► done
//	   │ END that another                                            ▲
//	   │ circuit may mend, or the circuit is gone                    │
//	   ├──────────► handed back (Finish.Back): attached elsewhere    │
//	   └── any other END ────────────────────────────────────────────┘
//
// It is a child of its circuit's actor. Messages it understands: Connected,
// Ended, CircuitGone, and blocks: DataIn from the circuit, DataOut from its own
// reader. It tells the circuit: blocks of kind DataOut, Consumed, Finish.
//
// Half-close. Tor has one END for both directions (tor-spec §6.3), TCP has
// two. When the far end ends, what it sent is written, then FIN; the socket is
// read on (and dropped) for a while before it is closed, because closing over
// unread input would destroy what the application has not read yet. When the
// application sends FIN, what it wrote is sent, and the answer may still come:
// END is sent when the far end has been quiet for a while. An application whose Conn is a
// Closer, the program that the node runs in, says which it means. Of one that serves a
// client's stream and cannot, FIN is the end, as with C tor.
//
// An application that goes while its stream is not connected yet cancels it (left.go): its
// socket is looked at once a second, here and by who has the Spec while it waits for a circuit.
//
// Credit. The reader of the socket has two tokens, one a block; a token comes
// back when the connection has written the block. The other way the circuit
// may send one window (500 cells) that the application has not taken.
package stream
