package client

import (
	"strconv"
	"time"

	"chive/tor/handshake"
	"chive/tor/onion"
	"chive/tor/onion/pow"
	"chive/tor/onion/relaymsg"
)

// ID names an attempt, a fetch or a circuit of one Service; none is used twice, and
// none is 0.
type ID uint64

// Action is something the owner of a Service is to do.
type Action interface{ action() }

// The actions.
type (
	// Fetch asks a directory for the descriptor of a blinded key, over a circuit that
	// does not tell who asks. Fetched or NotFetched answers.
	Fetch struct {
		ID        ID
		Directory [32]byte // Ed25519 identity of a relay in the ring
		Blinded   onion.BlindedKey
	}
	// OpenRendezvous builds a circuit to a relay of the owner's choice, never one of
	// the service's, and sends ESTABLISH_RENDEZVOUS. Established or Lost answers.
	OpenRendezvous struct {
		Attempt, ID ID
		Cookie      relaymsg.Cookie
		// Avoid is the RSA identity of the introduction point, which is not to be the
		// rendezvous point too: it would see both ends of the meeting.
		Avoid [20]byte
	}
	// OpenIntroduction builds a circuit to the introduction point. Opened or Lost
	// answers.
	OpenIntroduction struct {
		Attempt, ID ID
		Point       Point
		Auth        [32]byte // its authentication key in the descriptor
	}
	// Solve searches for a proof of work for an introduction. Solved answers, unless
	// Close names the introduction before.
	Solve struct {
		ID     ID
		Puzzle pow.Puzzle
	}
	// Introduce sends INTRODUCE1. Acked or Lost answers.
	Introduce struct {
		ID      ID
		Message []byte
	}
	// Join adds the service as the last hop of a rendezvous circuit, which is the
	// owner's from then on. The attempt is over.
	Join struct {
		Attempt, ID ID
		Keys        handshake.HSKeyMaterial
		// SendmeIncrement is that of congestion control with the service; 0: fixed
		// windows.
		SendmeIncrement int
		// Introduced is the introduction that the service came by, if the answer to it is not
		// there yet, and is waited for no more; 0: it was there.
		Introduced ID
	}
	// Close ends a circuit, a fetch or a search; there is no answer.
	Close struct{ ID ID }
	// Failed ends an attempt.
	Failed struct {
		Attempt ID
		Cause   Cause
	}
)

func (*Fetch) action()            {}
func (*OpenRendezvous) action()   {}
func (*OpenIntroduction) action() {}
func (*Solve) action()            {}
func (*Introduce) action()        {}
func (*Join) action()             {}
func (*Close) action()            {}
func (*Failed) action()           {}

// Point is a relay as link specifiers name it.
type Point = relaymsg.Point

// Cause is why an attempt failed, as proposal 304 tells them apart.
type Cause uint8

// The causes.
const (
	NotFound         Cause = iota + 1 // no directory has a descriptor
	Invalid                           // the descriptor breaks the rules
	IntroFailed                       // no introduction point was of use
	RendezvousFailed                  // the service did not come to the rendezvous
	AuthMissing                       // the descriptor is for authorised clients
	AuthWrong                         // it does not open with the key given
	IntroTimedOut                     // as IntroFailed, and each was too slow
	Internal                          // randomness or cryptography failed here
)

var causeNames = [...]string{
	NotFound: "descriptor not found", Invalid: "descriptor invalid", IntroFailed: "introduction failed",
	RendezvousFailed: "rendezvous failed", AuthMissing: "client authorisation missing",
	AuthWrong: "client authorisation wrong", IntroTimedOut: "introduction timed out", Internal: "internal failure",
}

// String is the cause in words.
func (c Cause) String() string {
	if int(c) < len(causeNames) && causeNames[c] != "" {
		return causeNames[c]
	}
	return "cause " + strconv.Itoa(int(c))
}

// View is what the network says to all services of a client.
type View struct {
	Network onion.Network
	Ring    *onion.Ring // of Network.Fetch, with the directories that can be asked
	// SendmeIncrement is the consensus's; 0: no congestion control with services.
	SendmeIncrement int
	// Avoid and AvoidDirectory say whom the user excludes: they are never used. nil: nobody.
	Avoid          func(Point) bool
	AvoidDirectory func(identity [32]byte) bool
}

// Times are how long the other side may take; all positive.
type Times struct {
	Fetch      time.Duration // one directory, with the circuit to it
	Open       time.Duration // a circuit; with ESTABLISH_RENDEZVOUS answered
	Ack        time.Duration // from INTRODUCE1 to INTRODUCE_ACK
	Rendezvous time.Duration // from INTRODUCE_ACK to RENDEZVOUS2
}
