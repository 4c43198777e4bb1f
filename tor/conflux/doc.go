// Package conflux is the client's end of a conflux set: circuits to one exit, its legs,
// that carry the same streams together (proposal 329). It owns no circuit: who owns
// them tells what came and follows what it says.
//
// A leg:
//
//	         Opened: LINK          LINKED: LINKED_ACK
//	Building ────────────► Linking ─────────────────► Linked
//	    │                     │ LINKED too late          │
//	    └─────────────────────┴────────── LegClosed ─────┴──► Gone
//
// The set:
//
//	Linking ──► Ready, once as many legs as wanted are linked ──► Over
//
// While the set is Linking, legs that go are replaced, a few times. Once it is Ready it
// gets no more: a leg that goes takes the set with it if anything it carried may be
// lost, as nothing is ever sent again.
//
// Messages of streams have a place in one sequence over all legs, which no message
// states. Each end counts along: a message is one after the last of its leg, and a
// SWITCH skips what went over other legs. Messages that come before their turn wait,
// at most so many bytes of them. Within a leg the sequence only rises, so each leg has
// a queue and reassembly takes from the one whose turn it is.
//
// Whatever a state does not expect ends the set (Receive). In particular a LINKED that
// names another set or other numbers than nought, two SWITCH without a message between
// them, a message that was delivered already, and one after a gap that no leg can fill.
//
// Directory streams never use a set: BEGIN_DIR is not in the sequence.
package conflux
