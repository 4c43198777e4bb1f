package messages

import "time"

// FleetDocument is a revision of the fleet's configuration: all that the fleet sets,
// in place of what it had set before. Its text is signed; see package bridge/fleet.
type FleetDocument struct {
	Fleet    string    `json:"fleet"`
	Revision uint64    `json:"revision"` // from 1; a node takes no lesser one than it took before
	Time     time.Time `json:"time"`     // when it was signed
	Expires  time.Time `json:"expires"`  // a node does not begin with it from then on
	Note     string    `json:"note,omitempty"`
	// Lines are options as a torrc says them. None: the fleet sets nothing.
	Lines []ConfigLine `json:"lines"`
	// Nodes are the names of those that take it, the others wait for the next revision;
	// none: all of the fleet.
	Nodes []string `json:"nodes,omitempty"`
	// Trial has each node watch itself and go back by itself; nil: no trial.
	Trial *FleetTrial `json:"trial,omitempty"`
}

// FleetTrial is what a node has to show after it took a revision, or it goes back to what
// the fleet had set before. The node builds circuits to see.
type FleetTrial struct {
	Seconds    int     `json:"seconds"`                   // how long it is watched: 1 to 3600
	Circuits   int     `json:"circuits"`                  // how many builds decide at least: 1 to 100
	Success    float64 `json:"success"`                   // share of builds that succeed at least: 0 to 1
	BuildTime  float64 `json:"build_seconds,omitempty"`   // median build time at most, in seconds; 0: any
	ConfirmFor int     `json:"confirm_seconds,omitempty"` // go back if no later revision comes within; 0: stay
}

// FleetEnvelope is the value of the key "all" in the fleet's config bucket.
type FleetEnvelope struct {
	Document  string `json:"document"`  // the FleetDocument's JSON text, as it was signed
	Key       string `json:"key"`       // the public nkey (U…) of who signed
	Signature string `json:"signature"` // base64 of the Ed25519 signature over FleetSigned and the document's bytes
}

// FleetSigned comes before the document's bytes in what is signed, so that a signature
// is of nothing else.
const FleetSigned = "chive fleet configuration v1\n"

// FleetState is what a node made of a publication.
type FleetState string

// What a node can make of a publication.
const (
	FleetApplied  FleetState = "applied"
	FleetTrying   FleetState = "trying"   // applied, and being watched
	FleetWaiting  FleetState = "waiting"  // it is for other nodes first
	FleetRejected FleetState = "rejected" // nothing has changed
	FleetReverted FleetState = "reverted" // it was applied, and taken back
)

// FleetAck is a node's acknowledgement of a publication: the value of the key
// <publication>.<node> in the bucket of acknowledgements, and the message at
// chive.v1.<fleet>.<node>.cfg.<state>.
type FleetAck struct {
	Publication uint64     `json:"publication"`        // the entry's revision in the config bucket
	Revision    uint64     `json:"revision,omitempty"` // the document's; 0: it could not be believed
	Node        string     `json:"node"`
	State       FleetState `json:"state"`
	Reason      string     `json:"reason,omitempty"` // why it was rejected or reverted
	Time        time.Time  `json:"time"`
	Config      uint64     `json:"config_revision"`         // the node's own revision afterwards
	Waiting     []string   `json:"needs_restart,omitempty"` // options that a restart would bring
	Builds      int        `json:"builds,omitempty"`        // of the trial: circuits that were built or failed
	Success     float64    `json:"success,omitempty"`       // the share that was built
	BuildTime   float64    `json:"build_seconds,omitempty"` // the median, in seconds
}

// FleetMember is a node of the fleet as it was some seconds ago: the value of the key
// <node> in the bucket of members, which forgets those that do not say it again.
type FleetMember struct {
	Node        string     `json:"node"`
	Version     string     `json:"version"`
	Started     time.Time  `json:"started"`
	Time        time.Time  `json:"time"` // by the node's clock; the server's stands beside it
	Bootstrap   int        `json:"bootstrap_percent"`
	Circuits    int        `json:"circuits_open"`
	Streams     int        `json:"streams_open"`
	Built       uint64     `json:"circuits_built"`  // since the node started
	Failed      uint64     `json:"circuits_failed"` // builds that failed, likewise
	Dropped     uint64     `json:"events_dropped,omitempty"`
	Draining    bool       `json:"draining,omitempty"`
	Trouble     string     `json:"trouble,omitempty"` // that keeps it from the network: no-relay, no-guard or no-circuit
	Config      uint64     `json:"config_revision"`
	Fleet       uint64     `json:"fleet_revision"` // the last document that was taken
	State       FleetState `json:"fleet_state,omitempty"`
	Publication uint64     `json:"publication,omitempty"`
	// Shared are the onion services that the node hosts with others, MaxFleetShared at most.
	Shared []FleetShared `json:"shared_onion_services,omitempty"`
}

// MaxFleetShared bounds FleetMember.Shared.
const MaxFleetShared = 64

// FleetShared is what a node does for an onion service that several nodes host.
type FleetShared struct {
	// Name is the service's in this fleet, as in the keys of its bucket; nothing of the
	// address follows from it.
	Name      string    `json:"name"`
	Publishes bool      `json:"publishes,omitempty"`
	Epoch     uint64    `json:"epoch"`               // of the lease, as far as the node knows
	Points    int       `json:"introduction_points"` // of the node, that work
	Described time.Time `json:"described,omitzero"`  // when it made its newest descriptor
}

// FleetPublication is what a node finds in the config bucket.
type FleetPublication struct {
	Number   uint64 // of the entry
	Author   string // who signed it
	Document FleetDocument
	Digest   string // SHA-256 of the document's text, in hex
	Err      error  // why it is not believed; Document is empty then
}

// FleetPort is a node's way to its fleet. Its methods return at once.
type FleetPort interface {
	// Acknowledge stores it as soon as the fleet can be reached.
	Acknowledge(FleetAck)
	// Beat says that the node is there; only the last one counts.
	Beat(FleetMember)
}
