// Package circuit pads the circuits through which a client reaches onion services, so
// that their first cells look like those of any other circuit: padding-spec section 3,
// proposals 254 and 302, and the two machines of C tor from 0.4.1 on.
//
//	client_ip_circ, number 0: once INTRODUCE1 is sent, the second hop is asked for 7
//	to 10 cells of padding, as if a page came. We send none. The circuit stays open
//	when the introduction is done: a short life would tell it.
//	client_rp_circ, number 1: once the rendezvous point is established, the second hop
//	is asked for a cell of padding, and we send one.
//
// A machine, which is a table of states, begins with PADDING_NEGOTIATE and is known by
// its number and by a counter, from 1 on each circuit. The relay answers
// PADDING_NEGOTIATED, pads with DROP, and with number 0 tells when it has ended. A
// machine whose circuit has become another's is told to stop.
//
//	         Enter                  START OK                 STOP OK, or so many cells
//	nothing ───────► asked, PADDING_NEGOTIATE ──► it may pad ────────────────► nothing
//	                   │ START ERR: no machine on this circuit any more
//
// Machines are only asked of relays that offer Padding=2. What a relay sends beyond its
// machine breaks the protocol (Receive): padding that nobody asked for could be read by
// somebody who watches the line.
//
// The package has no clock and sends nothing: who owns the circuit does.
package circuit
