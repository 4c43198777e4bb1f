package heal

import "time"

// Verdict is what is known of a service.
type Verdict uint8

// The verdicts.
const (
	Starting   Verdict = iota // nothing is known yet
	Up                        // it was met of late
	Impaired                  // one of its introduction points, or directories, are of no use
	Broken                    // clients do not reach it
	Unverified                // it cannot be said
)

var verdicts = [...]string{Starting: "starting", Up: "up", Impaired: "impaired", Broken: "broken", Unverified: "unverified"}

// String is one word.
func (v Verdict) String() string { return verdicts[v] }

// Stage is how far a probe came.
type Stage uint8

// The stages, in order.
const (
	Directory  Stage = iota + 1 // a directory is asked
	Descriptor                  // its answer is read
	Rendezvous                  // a relay waits for the service
	Point                       // the introduction point is reached
	Introduce                   // it passes the introduction on
	Meeting                     // the service comes
)

var stages = [...]string{
	Directory: "directory", Descriptor: "descriptor", Rendezvous: "rendezvous", Point: "point", Introduce: "introduce", Meeting: "meeting",
}

// String is one word.
func (s Stage) String() string { return stages[s] }

// Cause is why a service is not up, or why that cannot be said.
type Cause uint8

// The causes.
const (
	Unknown Cause = iota + 1
	RelayGone
	PointUnreachable
	NotStored
	NotMet // introductions come, rendezvous points are not reached
	Connections
	Offline
	Consensus
	Clock
	Slept
	Restarted
	Disk
	Journal
	Overload
	NoClients
)

var causes = [...]string{
	Unknown: "unknown", RelayGone: "relay-gone", PointUnreachable: "point-unreachable", NotStored: "not-stored",
	NotMet: "rendezvous", Connections: "connections", Offline: "offline", Consensus: "consensus", Clock: "clock",
	Slept: "slept", Restarted: "restarted", Disk: "disk", Journal: "journal", Overload: "overload", NoClients: "no-clients",
}

// String is one word.
func (c Cause) String() string { return causes[c] }

// Step is something done to have a service up again.
type Step uint8

// The steps, the mildest first.
const (
	NewCircuits Step = iota + 1
	Republish
	Rotate
	Rebuild
)

var steps = [...]string{NewCircuits: "new-circuits", Republish: "republish", Rotate: "rotate", Rebuild: "rebuild"}

// String is one word.
func (s Step) String() string { return steps[s] }

// Why is why a probe is made.
type Why uint8

// The reasons; of two that are due at once the later in this list is told.
const (
	Routine   Why = iota + 1 // it is time
	Changed                  // introduction points or descriptors did
	Published                // for the first time
	Network                  // the machine's way to the network is another
	Woken                    // the machine slept
	ClockSet                 // the clock was set
	Confirm                  // what failed is tried in another way
	Stepped                  // a step was made
	Asked                    // the operator wants to know
)

var whys = [...]string{
	Routine: "period", Changed: "changed", Published: "published", Network: "network", Woken: "woken",
	ClockSet: "clock", Confirm: "confirm", Stepped: "step", Asked: "asked",
}

// String is one word.
func (w Why) String() string { return whys[w] }

// Urgent: it does not wait for the probes of other services.
func (w Why) Urgent() bool { return w >= Confirm }

// Target is one introduction point or one directory; zero: neither.
type Target struct {
	Point     uint64
	Directory [32]byte // Ed25519 identity
}

// Facts are what the host knows.
type Facts struct {
	Live      bool  // there is a consensus to go by
	Away      Cause // Connections or Offline when it is known that no relay can be reached; 0: it is not
	Published bool  // a directory of the period that clients look in has the newest descriptor
	NoClients bool  // nobody is allowed to find the service
	// Elsewhere: another node makes the descriptors. Published is whether it is to be found
	// in them, Points are what they are to list; what they are is for that node to mend.
	Elsewhere bool
	Settling  bool // a descriptor is on its way to directories: what is found now is not the last word

	Points      []uint64   // that the newest descriptor lists
	Down        []uint64   // of those, that have no circuit
	Directories [][32]byte // of which clients choose one
}

// Result is the end of a probe.
type Result struct {
	ID      uint64
	OK      bool
	Full    bool  // it went, or was to go, up to the meeting
	Stage   Stage // the last begun
	Reached bool  // some circuit of ours was built meanwhile: the network is there
	Answer  bool  // what failed did so by an answer, and not for want of a circuit or of time
	Short   bool  // the circuit that failed did not come as far as its last relay: that may be well
	Arrived bool  // the service got the introduction
	// Crowded: it has more introductions than it answers or lets introduction points pass on, or
	// asks for more work than could be done for one.
	Crowded bool
	// Tried is what was tried, as far as it came; zero: not so far.
	Tried Target
}

// Command is something to do, in order.
type Command interface{ command() }

type (
	// Probe asks for a visit; then [Service.Probed].
	Probe struct {
		ID     uint64
		Why    Why
		Full   bool   // up to the meeting; else only the descriptor is fetched and read
		Target Target // to be tried; a point that the descriptor does not list gives way to any
	}
	// Do asks for a step, upon one introduction point or, if it is 0, all.
	Do struct {
		Step  Step
		Point uint64
	}
	// Told is a fact for who watches.
	Told struct{ Event Event }
)

func (Probe) command() {}
func (Do) command()    {}
func (Told) command()  {}

// Event is a fact.
type Event interface{ event() }

type (
	// Verified: the service is up.
	Verified struct{ ByClient bool }
	// Doubted: whether it is up cannot be said.
	Doubted struct{ Cause Cause }
	// Found: it is not up. Target zero: for nobody.
	Found struct {
		Cause  Cause
		Stage  Stage
		Target Target
	}
	// Healing: a step is made.
	Healing struct {
		Step    Step
		Cause   Cause
		Attempt int
		Point   uint64
	}
	// Healed: it is up again.
	Healed struct {
		After time.Duration
		Cause Cause
		Last  Step // 0: none was needed
		Steps int
	}
)

func (Verified) event() {}
func (Doubted) event()  {}
func (Found) event()    {}
func (Healing) event()  {}
func (Healed) event()   {}
