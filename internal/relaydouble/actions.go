package relaydouble

import (
	"bytes"
	"io"

	"chive/tor/cell"
)

// Drop swallows what was about to be handled or sent.
func Drop(*Moment) bool { return false }

// CloseConnection closes the TCP connection at once, without a TLS alert.
func CloseConnection(m *Moment) bool {
	m.Conn.Close()
	return false
}

// FinishConnection closes the TCP connection, without a TLS alert, once everything
// before this moment is written.
func FinishConnection(m *Moment) bool {
	if m.Circuit != nil {
		m.Circuit.flush()
	}
	m.Conn.Finish()
	return false
}

// Stall neither reads nor writes any more; the connection stays open.
func Stall(m *Moment) bool {
	m.Conn.Stall()
	return false
}

// StopReading reads nothing more; what is queued is still written.
func StopReading(m *Moment) bool {
	m.Conn.StopReading()
	return true
}

// Garbage sends n random bytes.
func Garbage(n int) Action {
	return func(m *Moment) bool {
		b := make([]byte, n)
		_, _ = io.ReadFull(m.Relay.opts.Rand, b)
		return Raw(b)(m)
	}
}

// Raw sends bytes as they are, before what was about to be sent.
func Raw(b []byte) Action {
	return func(m *Moment) bool {
		if m.Circuit != nil {
			m.Circuit.flush()
		}
		m.Conn.Send(b)
		return true
	}
}

// Cell sends a cell of the link layer on the circuit of the moment, or on circuit 0
// when it has none: an unsolicited CREATED2, DESTROY, CERTS, ….
func Cell(cmd cell.Command, body []byte) Action {
	return func(m *Moment) bool {
		id := cell.CircID(0)
		if m.Circuit != nil {
			id = m.Circuit.id
		}
		return sendCell(id, cmd, body)(m)
	}
}

// CellOn sends a cell of the link layer on any circuit id.
func CellOn(id cell.CircID, cmd cell.Command, body []byte) Action { return sendCell(id, cmd, body) }

func sendCell(id cell.CircID, cmd cell.Command, body []byte) Action {
	var b []byte
	if cmd.Variable() {
		b = cell.AppendVariable(nil, id, cmd, body)
	} else {
		b = cell.AppendFixed(nil, id, cmd, body)
	}
	return Raw(b)
}

// Destroy sends DESTROY and forgets the circuit.
func Destroy(reason cell.DestroyReason) Action {
	return func(m *Moment) bool {
		m.Circuit.Destroy(reason)
		return false
	}
}

// Truncated says from the moment's hop that the circuit ends there now.
func Truncated(reason cell.DestroyReason) Action {
	return func(m *Moment) bool {
		m.Circuit.seal(cell.Relay, m.Hop, cell.RelayHeader{Cmd: cell.RelayTruncated}, []byte{byte(reason)}, false)
		return false
	}
}

// End ends the moment's stream. EndUnspecified sends the reason 0.
func End(reason cell.EndReason) Action {
	return func(m *Moment) bool {
		m.Stream.end(reason)
		return false
	}
}

// EndEmpty ends the moment's stream with an END that has no data.
func EndEmpty(m *Moment) bool {
	m.Stream.endRaw(nil)
	return false
}

// RelayCell is a relay cell as a fault wants it.
type RelayCell struct {
	Cmd    cell.RelayCommand
	Stream cell.StreamID // 0 means the circuit
	Data   []byte
	// Length, when not 0, replaces the true length in the header: 499 and more are
	// lengths that no cell can have.
	Length int
	// Early sends it as RELAY_EARLY, which relays must never do.
	Early bool
	// BadDigest sends it with a wrong digest.
	BadDigest bool
	// FromHop is the hop that sends it, from 1; 0 means the hop of the moment.
	FromHop int
	// Times is how often; 0 means once.
	Times int
}

// SendRelay sends a relay cell before what was about to be sent.
func SendRelay(r RelayCell) Action {
	return func(m *Moment) bool {
		hop, cmd := m.Hop, cell.Relay
		if r.FromHop > 0 {
			hop = r.FromHop - 1
		}
		if r.Early {
			cmd = cell.RelayEarly
		}
		for range max(1, r.Times) {
			h := cell.RelayHeader{Cmd: r.Cmd, Stream: r.Stream, Length: r.Length}
			m.Circuit.seal(cmd, hop, h, r.Data, r.BadDigest)
		}
		return true
	}
}

// OnStream is SendRelay on the moment's stream.
func OnStream(r RelayCell) Action {
	return func(m *Moment) bool {
		r := r
		r.Stream = m.Stream.id
		return SendRelay(r)(m)
	}
}

// EmptyData sends a DATA cell without data on the moment's stream.
func EmptyData(m *Moment) bool { return OnStream(RelayCell{Cmd: cell.RelayData})(m) }

// SurplusSendmes sends circuit-level SENDMEs that nothing has earned, with the
// right digest of the last cell that came.
func SurplusSendmes(n int) Action {
	return func(m *Moment) bool {
		tag := m.Circuit.hops[m.Hop].layer.ForwardTag()
		return SendRelay(RelayCell{Cmd: cell.RelaySendme, Data: cell.AppendSendmeV1(nil, tag.Bytes()), Times: n})(m)
	}
}

// XoffStream tells the client that the moment's stream is to send no more.
func XoffStream(m *Moment) bool {
	return OnStream(RelayCell{Cmd: cell.RelayXoff, Data: cell.AppendXoff(nil)})(m)
}

// XonStream tells the client that the moment's stream may send so many times 1000 bytes a
// second; 0 is no limit.
func XonStream(rate uint32) Action {
	return OnStream(RelayCell{Cmd: cell.RelayXon, Data: cell.AppendXon(nil, rate)})
}

// Grant answers an ntor-v3 handshake with this message in place of what was granted
// (AtGrant).
func Grant(message ...byte) Action {
	return func(m *Moment) bool {
		m.Reply = message
		return true
	}
}

// Instead does all of it, and nothing of what the relay was about to do.
func Instead(actions ...Action) Action {
	return func(m *Moment) bool {
		for _, do := range actions {
			do(m)
		}
		return false
	}
}

// OnItsWay changes the relay cell just sealed as the relays between do (AtRelayOut, After):
// what it returns of the encrypted cell, a number of bodies of whole cells, goes on in its
// place.
func OnItsWay(change func(body []byte) []byte) Action {
	return func(m *Moment) bool {
		c := m.Circuit
		at := len(c.out) - cell.FixedLen
		bodies := change(bytes.Clone(c.out[at+cell.FixedLen-cell.BodyLen:]))
		c.out = c.out[:at]
		for ; len(bodies) >= cell.BodyLen; bodies = bodies[cell.BodyLen:] {
			c.out = cell.AppendFixed(c.out, c.id, cell.Relay, bodies[:cell.BodyLen])
		}
		return true
	}
}

// CorruptReply spoils the authenticator of a handshake reply (AtCreated,
// AtExtended).
func CorruptReply(m *Moment) bool {
	m.Reply[len(m.Reply)-1] ^= 1
	return true
}

// CorruptDigest sends the relay cell with a wrong digest (AtRelayOut).
func CorruptDigest(m *Moment) bool {
	m.BadDigest = true
	return true
}

// CorruptTag spoils the tag of a SENDME (AtSendmeOut).
func CorruptTag(m *Moment) bool {
	m.Tag[0] ^= 1
	return true
}

// IgnoreWindows makes the circuit send DATA without regard to its windows.
func IgnoreWindows(m *Moment) bool {
	m.Circuit.lax = true
	return true
}
