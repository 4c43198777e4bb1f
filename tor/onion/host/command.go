package host

import (
	"time"

	"chive/tor/handshake"
	"chive/tor/netdoc"
	"chive/tor/onion"
	"chive/tor/onion/relaymsg"
)

// PointID, UploadID and MeetingID name things of one [Service]; none is used twice.
type (
	PointID   uint64
	UploadID  uint64
	MeetingID uint64
)

// Command is something to do, in the order given.
type Command interface{ command() }

// Launch asks for a circuit to a relay; then [Service.Opened], or
// [Service.PointFailed].
type Launch struct {
	Point PointID
	Relay Relay
}

// Close ends an introduction point's circuit, open or not. Nothing is to be
// reported of it any more.
type Close struct{ Point PointID }

// Keep is to be on disk before any command after it is begun.
type Keep struct{ Floor Floor }

// Upload sends a descriptor to a directory; then [Service.Uploaded].
type Upload struct {
	ID        UploadID
	Period    onion.Period
	Directory [32]byte // Ed25519 identity
	Text      []byte   // shared by all uploads of one descriptor: read-only
}

// CancelUpload: the answer is of no interest any more.
type CancelUpload struct{ ID UploadID }

// Meet asks for a circuit to a rendezvous point, on which Message is sent and the
// keys are put into force; then [Service.Met], or [Service.MeetingFailed].
type Meet struct {
	ID                MeetingID
	Point             relaymsg.Point
	Message           []byte // RENDEZVOUS1
	Keys              handshake.HSKeyMaterial
	CongestionControl bool
	Effort            uint32
	Attempt           int // from 1
	Deadline          time.Time
	Visit             bool // the client is the host itself
}

// Abandon ends a meeting that is not begun. Nothing is to be reported of it.
type Abandon struct{ ID MeetingID }

// CutOff closes every circuit on which a client was met: access was taken back,
// and it cannot be told whose each is.
type CutOff struct{}

// Told is a fact for who watches.
type Told struct{ Event Event }

func (Launch) command()       {}
func (Close) command()        {}
func (Keep) command()         {}
func (Upload) command()       {}
func (CancelUpload) command() {}
func (Meet) command()         {}
func (Abandon) command()      {}
func (CutOff) command()       {}
func (Told) command()         {}

// Event is a fact.
type Event interface{ event() }

// PointUp: the relay takes introductions from now on.
type PointUp struct {
	Point PointID
	Relay netdoc.Digest
}

// PointDown: its circuit is no more, or could not be made.
type PointDown struct {
	Point PointID
	Relay netdoc.Digest
	Cause error // as reported
}

// PointGone: it is listed no more; Reason says why.
type PointGone struct {
	Point  PointID
	Relay  netdoc.Digest
	Reason Reason
}

// Reason is why an introduction point is not used any more.
type Reason uint8

// The reasons.
const (
	Worn       Reason = iota + 1 // so many introductions
	Aged                         // its time is over
	Unlisted                     // not in the consensus
	Failing                      // its circuit could not be kept
	Surplus                      // more than are needed
	Revoked                      // clients lost their access
	Reset                        // its settings changed
	Misbehaved                   // the relay broke the protocol
	Stopped
	Repaired // the service was not up, and begins anew
	Copied   // another node has its keys too
)

var reasons = [...]string{
	Worn: "introductions", Aged: "age", Unlisted: "unlisted", Failing: "failing", Surplus: "surplus",
	Revoked: "revoked", Reset: "settings", Misbehaved: "protocol", Stopped: "stopped", Repaired: "repair", Copied: "copied",
}

// String is one word.
func (r Reason) String() string { return reasons[r] }

// Described: a descriptor was made.
type Described struct {
	Period   onion.Period
	Revision uint64
	Points   int
	Because  Because
}

// Because is why a descriptor is made anew.
type Because uint8

// The causes.
const (
	First       Because = iota + 1
	PointsMoved         // the set of introduction points is another
	Refresh             // its time has come
	Access              // clients changed
	Work                // the proof of work did
	Settings
	Repair    // the service was not up
	Overtaken // a directory has a newer one, of another node
)

var becauses = [...]string{
	First: "first", PointsMoved: "introduction-points", Refresh: "refresh", Access: "clients", Work: "proof-of-work", Settings: "settings",
	Repair: "repair", Overtaken: "overtaken",
}

// String is one word.
func (b Because) String() string { return becauses[b] }

// Stored: a directory answered.
type Stored struct {
	Period    onion.Period
	Directory [32]byte
	Cause     error // nil: it took the descriptor
}

// Published: every directory of a period that can be reached has the descriptor.
type Published struct {
	Period      onion.Period
	Revision    uint64
	Directories int
}

// Unpublishable: a period has no descriptor; Cause says why.
type Unpublishable struct {
	Period onion.Period
	Cause  error
}

// KeysEnd: delegated keys run out soon, or with Over have.
type KeysEnd struct {
	Until time.Time
	Over  bool
}

// Refused: a client's request is not answered; Cause says why. Point is 0 for one that had
// waited too long.
type Refused struct {
	Point PointID
	Cause error
}

// Visited: the host's own visit came by an introduction point.
type Visited struct{ Point PointID }

// MeetingLost: a client could not be met.
type MeetingLost struct {
	Meeting MeetingID
	Cause   error
	Visit   bool // it was the host itself
}

func (PointUp) event()       {}
func (PointDown) event()     {}
func (PointGone) event()     {}
func (Described) event()     {}
func (Stored) event()        {}
func (Published) event()     {}
func (Unpublishable) event() {}
func (KeysEnd) event()       {}
func (Refused) event()       {}
func (Visited) event()       {}
func (MeetingLost) event()   {}
