package cell

import "strconv"

// CircID names a circuit on one connection; 0 is the connection itself.
type CircID uint32

// String is the id in hexadecimal, as relays log it.
func (c CircID) String() string { return "0x" + strconv.FormatUint(uint64(c), 16) }

// StreamID names a stream on one circuit; 0 is the circuit itself.
type StreamID uint16

// String is the id in decimal.
func (s StreamID) String() string { return strconv.Itoa(int(s)) }

// Command is a cell's command (tor-spec section 3).
type Command uint8

// The commands of tor-spec section 3.
const (
	Padding          Command = 0
	Create           Command = 1
	Created          Command = 2
	Relay            Command = 3
	Destroy          Command = 4
	CreateFast       Command = 5
	CreatedFast      Command = 6
	Versions         Command = 7
	Netinfo          Command = 8
	RelayEarly       Command = 9
	Create2          Command = 10
	Created2         Command = 11
	PaddingNegotiate Command = 12
	Vpadding         Command = 128
	Certs            Command = 129
	AuthChallenge    Command = 130
	Authenticate     Command = 131
	Authorize        Command = 132
)

// String is the command's name in the specification.
func (c Command) String() string {
	switch c {
	case Padding:
		return "PADDING"
	case Create:
		return "CREATE"
	case Created:
		return "CREATED"
	case Relay:
		return "RELAY"
	case Destroy:
		return "DESTROY"
	case CreateFast:
		return "CREATE_FAST"
	case CreatedFast:
		return "CREATED_FAST"
	case Versions:
		return "VERSIONS"
	case Netinfo:
		return "NETINFO"
	case RelayEarly:
		return "RELAY_EARLY"
	case Create2:
		return "CREATE2"
	case Created2:
		return "CREATED2"
	case PaddingNegotiate:
		return "PADDING_NEGOTIATE"
	case Vpadding:
		return "VPADDING"
	case Certs:
		return "CERTS"
	case AuthChallenge:
		return "AUTH_CHALLENGE"
	case Authenticate:
		return "AUTHENTICATE"
	case Authorize:
		return "AUTHORIZE"
	}
	return "COMMAND_" + strconv.Itoa(int(c))
}

// Variable reports whether the command's cells carry a length: VERSIONS and
// everything from 128 up (tor-spec section 3, link protocol 3 and higher).
func (c Command) Variable() bool { return c == Versions || c >= 128 }

// maxBody is the largest body accepted for a variable command, in bytes. The
// wire allows 65535; what relays send is far smaller (CERTS about 2.3 kB,
// AUTH_CHALLENGE 38 B, VERSIONS 6 B), so these leave room for larger keys and
// still bound what a peer can make us hold.
func (c Command) maxBody() int {
	switch c {
	case Versions:
		return maxVersionsLen
	case AuthChallenge, Authenticate, Authorize:
		return maxAuthLen
	}
	return MaxVariableLen
}
