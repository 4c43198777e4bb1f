package stream

import (
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/isolation"
	"chive/tor/netdoc"
	"chive/tor/onion"
)

// Conn is the application's end: a TCP or unix-domain socket.
type Conn interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
}

// Front speaks to the application in its own protocol.
type Front interface {
	// Connected is called once, when the far end is there; what it returns is
	// written to the application before any data.
	Connected(bound netip.Addr) []byte
	// Refused is called once if the stream ends before; what it returns is
	// written before the socket is closed.
	Refused(o chivev1.Outcome) []byte
	// Resolved is called instead of Connected for a Spec with Resolve, with what
	// the exit answered: anything, or nothing. The reply is written before the
	// socket is closed; the outcome is how the stream ended.
	Resolved(answers []cell.Answer) (reply []byte, o chivev1.Outcome)
}

// Count is bytes of many streams, to their applications and from them.
type Count struct{ To, From atomic.Uint64 }

// Spec is a request for a stream, and all that must survive when one circuit
// hands it back for another.
type Spec struct {
	ID    string // actor id in events
	Conn  Conn
	Early []byte // what the application sent before it was told "connected"
	// Optimistic: Early goes out behind the BEGIN, and again on another circuit if the
	// stream is handed back; else it waits for CONNECTED.
	Optimistic bool
	Target     string // host:port for BEGIN, name for RESOLVE; "" asks for the relay's directory
	Resolve    bool   // ask what the name Target stands for and end
	// Onion is the service that the stream is to; nil: it leaves the network at an exit.
	Onion     *onion.Address
	Port      uint16 // of the target
	IPv6      bool   // the target is an IPv6 address
	Flags     uint32 // BEGIN flags
	Purpose   chivev1.Purpose
	Isolation isolation.Token
	// KeepAlive: a circuit's age begins anew when the stream comes and when it leaves.
	KeepAlive bool
	// Identities are tokens of who asked, by user name, of SOCKS or HTTP, and by that with
	// its password; none for who named nobody.
	Identities []string
	Front      Front
	// Serve is for a stream that a client of an onion service of ours began: it gives the
	// application's end. Conn and Front are nil then.
	Serve Dial
	// Count counts what goes to the application and comes from it; nil: nobody does.
	Count *Count
	// Unwanted says of an address that no exit may connect to for this stream; nil:
	// of none. An exit that names one is told END.
	Unwanted  func(netip.Addr) bool
	Requested time.Time
	Attempt   uint32          // attachments so far
	Cause     string          // id of the last event about it
	Last      chivev1.Outcome // why the last attachment ended
	Avoid     []netdoc.Digest // exits that would not

	halfClosed time.Time // when Left first saw that the application sends no more
}

type (
	// Attached tells the actor under which id its BEGIN went out.
	Attached struct{ Stream cell.StreamID }
	// Connected: the far end is there.
	Connected struct{ Addr netip.Addr }
	// Resolved: the exit answered.
	Resolved struct{ Answers []cell.Answer }
	// Ended: the far end ended the stream.
	Ended struct{ Reason cell.EndReason }
	// CircuitGone: the circuit is; the stream ends or is handed back.
	CircuitGone struct{ Outcome chivev1.Outcome }
	// CircuitSilent: nothing comes on the circuit any more. A stream that is not connected is
	// handed back.
	CircuitSilent struct{ Outcome chivev1.Outcome }
	// Consumed tells the circuit that the application took what came in so
	// many cells, and so many bytes.
	Consumed struct {
		Spec   *Spec
		Stream cell.StreamID
		Cells  int
		Bytes  int
	}
	// Finish tells the circuit that the actor is done and stops. With Back set
	// the stream lives on: the circuit gives the Spec to its parent.
	Finish struct {
		Spec    *Spec
		Stream  cell.StreamID
		Back    bool
		Outcome chivev1.Outcome
		End     bool // the far end has not been told yet
		Drop    bool // what is still to be sent is not to be
	}
)
