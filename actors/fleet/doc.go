// Package fleet is the actor that takes part in a fleet for its node: it says that the
// node is there, hands what the fleet publishes to the configuration, and answers each
// publication with an acknowledgement.
//
//	              not believed, older, not right
//	publication ─────────────────────────────────► rejected
//	    │ not for this node
//	    ├────────────────────────────────────────► waiting
//	    ▼
//	 proposed ──► taken ── no trial ─────────────► applied
//	                │ trial                          ▲
//	                ▼            circuits are built  │ and confirmed, if it has to be
//	              trying ────────────────────────────┤
//	                │ they are not, or the node ended, or nobody confirmed
//	                └────────────────────────────────► reverted
//
// A publication that comes while another is on its way waits; of several, the last one
// counts. What a trial may have to go back to is on disk before it begins, so that a
// node which ends during a trial goes back when it starts again.
//
// Left to others: who may publish and what (bridge/fleet, config), how a change is made
// (actors/configuration).
package fleet
