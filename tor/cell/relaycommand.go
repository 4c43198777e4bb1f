package cell

import "strconv"

// RelayCommand is the command of a relay message (tor-spec section 6.1).
type RelayCommand uint8

// The relay commands of tor-spec 6.1, proposal 329 (conflux), rend-spec-v3
// (onion services), padding-spec 3 and proposal 324 (flow control).
const (
	RelayBegin             RelayCommand = 1
	RelayData              RelayCommand = 2
	RelayEnd               RelayCommand = 3
	RelayConnected         RelayCommand = 4
	RelaySendme            RelayCommand = 5
	RelayExtend            RelayCommand = 6
	RelayExtended          RelayCommand = 7
	RelayTruncate          RelayCommand = 8
	RelayTruncated         RelayCommand = 9
	RelayDrop              RelayCommand = 10
	RelayResolve           RelayCommand = 11
	RelayResolved          RelayCommand = 12
	RelayBeginDir          RelayCommand = 13
	RelayExtend2           RelayCommand = 14
	RelayExtended2         RelayCommand = 15
	RelayConfluxLink       RelayCommand = 19
	RelayConfluxLinked     RelayCommand = 20
	RelayConfluxLinkedAck  RelayCommand = 21
	RelayConfluxSwitch     RelayCommand = 22
	RelayEstablishIntro    RelayCommand = 32
	RelayEstablishRend     RelayCommand = 33
	RelayIntroduce1        RelayCommand = 34
	RelayIntroduce2        RelayCommand = 35
	RelayRendezvous1       RelayCommand = 36
	RelayRendezvous2       RelayCommand = 37
	RelayIntroEstablished  RelayCommand = 38
	RelayRendEstablished   RelayCommand = 39
	RelayIntroduceAck      RelayCommand = 40
	RelayPaddingNegotiate  RelayCommand = 41
	RelayPaddingNegotiated RelayCommand = 42
	RelayXoff              RelayCommand = 43
	RelayXon               RelayCommand = 44
)

var relayCommandNames = [...]string{
	RelayBegin: "BEGIN", RelayData: "DATA", RelayEnd: "END",
	RelayConnected: "CONNECTED", RelaySendme: "SENDME", RelayExtend: "EXTEND",
	RelayExtended: "EXTENDED", RelayTruncate: "TRUNCATE",
	RelayTruncated: "TRUNCATED", RelayDrop: "DROP", RelayResolve: "RESOLVE",
	RelayResolved: "RESOLVED", RelayBeginDir: "BEGIN_DIR",
	RelayExtend2: "EXTEND2", RelayExtended2: "EXTENDED2",
	RelayConfluxLink: "CONFLUX_LINK", RelayConfluxLinked: "CONFLUX_LINKED",
	RelayConfluxLinkedAck: "CONFLUX_LINKED_ACK",
	RelayConfluxSwitch:    "CONFLUX_SWITCH",
	RelayEstablishIntro:   "ESTABLISH_INTRO",
	RelayEstablishRend:    "ESTABLISH_RENDEZVOUS",
	RelayIntroduce1:       "INTRODUCE1", RelayIntroduce2: "INTRODUCE2",
	RelayRendezvous1: "RENDEZVOUS1", RelayRendezvous2: "RENDEZVOUS2",
	RelayIntroEstablished:  "INTRO_ESTABLISHED",
	RelayRendEstablished:   "RENDEZVOUS_ESTABLISHED",
	RelayIntroduceAck:      "INTRODUCE_ACK",
	RelayPaddingNegotiate:  "PADDING_NEGOTIATE",
	RelayPaddingNegotiated: "PADDING_NEGOTIATED",
	RelayXoff:              "XOFF", RelayXon: "XON",
}

// String is the command's name in the specification, without its RELAY_.
func (c RelayCommand) String() string {
	if int(c) < len(relayCommandNames) && relayCommandNames[c] != "" {
		return relayCommandNames[c]
	}
	return "RELAY_COMMAND_" + strconv.Itoa(int(c))
}
