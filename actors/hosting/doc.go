// Package hosting is how this node hosts onion services: one actor a service, each with the
// state machine of tor/onion/host, and the actor that supervises them.
//
//	service ── Open, Shut, Carry ──► circuits
//	   │ ▲                              │
//	   │ └── Ready, Over, Heard ────────┘
//	   └──── EstablishIntro, Meet ──► the circuit itself ── Serve ──► an application
//
// A service's keys and what outlives it are in its folder (package keystore): the revisions
// of its descriptors at any time, its introduction points when it is stopped in order. One
// that fails is started anew without them, with other introduction points.
//
// Whether a service is up is judged by tor/onion/heal (health.go): from visits, which another
// actor makes as a client of each service (prober.go), from what the machine knows, and from
// the node's events (Signals).
//
//	service ── visit ──► visits ── Open, Shut ──► circuits
//	   ▲ ▲                 │
//	   │ └─ expecting ─────┤  before the introduction is sent
//	   └─── visited ───────┘
//
// Nobody out there chooses a guard or a relay of the second layer: clients name the
// rendezvous point, which is the end of a path of four hops (tor/path).
//
// A service of the program that the node runs in (Program) has the program itself where
// others have a target, and may have no folder: what would be in it is then kept in memory
// alone, for the process's life. When it is ended its clients' streams go on to their ends.
//
// Messages it understands: OnionNetwork, Configure, Look, List, Verify, Shaken, Role, Leave, Rejoin,
// Finish; those of its children.
package hosting
