package cell

import "strconv"

// DestroyReason says why a circuit was closed (tor-spec section 5.4), in a
// DESTROY cell and in a TRUNCATED message alike.
type DestroyReason uint8

// The reasons of tor-spec section 5.4. A client always sends DestroyNone.
const (
	DestroyNone          DestroyReason = 0
	DestroyProtocol      DestroyReason = 1
	DestroyInternal      DestroyReason = 2
	DestroyRequested     DestroyReason = 3
	DestroyHibernating   DestroyReason = 4
	DestroyResourceLimit DestroyReason = 5
	DestroyConnectFailed DestroyReason = 6
	DestroyORIdentity    DestroyReason = 7
	DestroyChannelClosed DestroyReason = 8
	DestroyFinished      DestroyReason = 9
	DestroyTimeout       DestroyReason = 10
	DestroyDestroyed     DestroyReason = 11
	DestroyNoSuchService DestroyReason = 12
)

var destroyReasonNames = [...]string{
	"NONE", "PROTOCOL", "INTERNAL", "REQUESTED", "HIBERNATING",
	"RESOURCELIMIT", "CONNECTFAILED", "OR_IDENTITY", "CHANNEL_CLOSED",
	"FINISHED", "TIMEOUT", "DESTROYED", "NOSUCHSERVICE",
}

// String is the reason's name in the specification.
func (r DestroyReason) String() string {
	if int(r) < len(destroyReasonNames) {
		return destroyReasonNames[r]
	}
	return "DESTROY_REASON_" + strconv.Itoa(int(r))
}

// ParseDestroy reads the reason of a DESTROY cell's body or of a TRUNCATED
// message's data. Reasons above 12 are kept; an empty body is DestroyNone.
func ParseDestroy(body []byte) DestroyReason {
	if len(body) == 0 {
		return DestroyNone
	}
	return DestroyReason(body[0])
}

// AppendDestroy appends the body of a DESTROY cell or TRUNCATED message.
func AppendDestroy(dst []byte, reason DestroyReason) []byte {
	return append(dst, byte(reason))
}

// EndReason says why a stream was closed (tor-spec section 6.3).
type EndReason uint8

// The reasons of tor-spec section 6.3. 0 is not a reason the specification
// knows: it is kept as received and never means success. EndDone is the only
// orderly end.
const (
	EndUnspecified    EndReason = 0
	EndMisc           EndReason = 1
	EndResolveFailed  EndReason = 2
	EndConnectRefused EndReason = 3
	EndExitPolicy     EndReason = 4
	EndDestroy        EndReason = 5
	EndDone           EndReason = 6
	EndTimeout        EndReason = 7
	EndNoRoute        EndReason = 8
	EndHibernating    EndReason = 9
	EndInternal       EndReason = 10
	EndResourceLimit  EndReason = 11
	EndConnReset      EndReason = 12
	EndTorProtocol    EndReason = 13
	EndNotDirectory   EndReason = 14
)

var endReasonNames = [...]string{
	"UNSPECIFIED", "MISC", "RESOLVEFAILED", "CONNECTREFUSED", "EXITPOLICY",
	"DESTROY", "DONE", "TIMEOUT", "NOROUTE", "HIBERNATING", "INTERNAL",
	"RESOURCELIMIT", "CONNRESET", "TORPROTOCOL", "NOTDIRECTORY",
}

// String is the reason's name in the specification, without its REASON_.
func (r EndReason) String() string {
	if int(r) < len(endReasonNames) {
		return endReasonNames[r]
	}
	return "END_REASON_" + strconv.Itoa(int(r))
}
