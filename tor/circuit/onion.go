package circuit

import (
	"fmt"

	"chive/tor/cell"
	"chive/tor/congestion"
	"chive/tor/handshake"
	padding "chive/tor/padding/circuit"
	"chive/tor/relaycrypto"
)

// onionState is how far a circuit has come by which a client and an onion service meet
// (rend-spec-v3 §3, §4). Such a circuit carries no streams before it is joined, and none
// but between the two then: the client begins them, the service serves them.
//
//	(plain) ─ EstablishRendezvous ─► asked ─ RENDEZVOUS_ESTABLISHED ─► ready
//	   │                                      ready ─ RENDEZVOUS2 ─► met ─ Join ─► joined
//	   ├───── Introduce ─► introducing ─ INTRODUCE_ACK ─► introduced
//	   ├───── EstablishIntro ─► intro asked ─ INTRO_ESTABLISHED ─► intro ready ◄─► INTRODUCE2
//	   └───── Meet ─► serving
type onionState uint8

const (
	plain onionState = iota
	rendezvousAsked
	rendezvousReady
	rendezvousMet
	rendezvousJoined
	introducing
	introduced
	introAsked
	introReady
	serving
)

// fourthHop is the first place, from 0, where the guard may stand again. A service chooses
// its introduction points, and directories lie where they lie: a client that would not
// go through its guard to them would tell which it is.
const fourthHop = 3

// again says whether a relay that is hop g of a path may be hop i too.
func again(g, i int) bool { return g == 0 && i >= fourthHop }

// EstablishRendezvous asks the last hop to wait for a service, and appends the cell.
func (c *Circuit) EstablishRendezvous(dst []byte, cookie [20]byte) ([]byte, error) {
	return c.ask(dst, rendezvousAsked, cell.RelayEstablishRend, cookie[:])
}

// Introduce has the last hop pass a message on to a service, and appends the cell.
func (c *Circuit) Introduce(dst, message []byte) ([]byte, error) {
	dst, err := c.ask(dst, introducing, cell.RelayIntroduce1, message)
	if err != nil {
		return dst, err
	}
	return c.enter(dst, padding.Introduced), nil
}

func (c *Circuit) ask(dst []byte, next onionState, command cell.RelayCommand, data []byte) ([]byte, error) {
	if c.state != Open || c.cfg.Leg || c.onion != plain || c.counters.Streams > 0 {
		return dst, ErrNotOpen
	}
	if most := c.maxData(command); len(data) > most {
		return dst, fmt.Errorf("%v of %d bytes, and %d is the most: %w", command, len(data), most, cell.ErrRelayLength)
	}
	c.onion = next
	return c.seal(dst, cell.Relay, c.stack.Len()-1, cell.RelayHeader{Cmd: command}, data), nil
}

// answers are what the last hop may say in each state: once, but for INTRODUCE2.
var answers = map[cell.RelayCommand]struct {
	from, to onionState
	kind     EventKind
	stage    padding.Stage
}{
	cell.RelayRendEstablished: {rendezvousAsked, rendezvousReady, RendezvousEstablished, padding.Rendezvous},
	cell.RelayRendezvous2:     {rendezvousReady, rendezvousMet, Rendezvous, padding.Rendezvous},
	cell.RelayIntroduceAck:    {introducing, introduced, IntroduceAck, padding.Acknowledged},

	cell.RelayIntroEstablished: {from: introAsked, to: introReady, kind: IntroEstablished},
	cell.RelayIntroduce2:       {from: introReady, to: introReady, kind: Introduce2},
}

// ofOnion: is it a message of introduction or rendezvous, to a client or a service?
func ofOnion(c cell.RelayCommand) bool {
	_, ok := answers[c]
	return ok
}

// receiveOnion takes such a message; what it says is the owner's to judge.
func (c *Circuit) receiveOnion(dst []byte, hop int, command cell.RelayCommand, data []byte) ([]byte, Event, error) {
	a := answers[command]
	if c.onion != a.from {
		return dst, Event{}, c.violation(hop+1, fmt.Errorf("%w: %v", ErrUnexpected, command))
	}
	c.onion = a.to
	return c.enter(dst, a.stage), Event{Kind: a.kind, Data: data}, nil
}

// Join adds the service that came as the last hop, with flow control of its own: with
// congestion control if inc, the cells that a SENDME is for, is not 0 (proposal 324).
func (c *Circuit) Join(keys handshake.HSKeyMaterial, onion congestion.Params, inc int) error {
	if c.state != Open || c.onion != rendezvousMet {
		return ErrNotOpen
	}
	layer, err := relaycrypto.NewClientRendezvousLayer(keys)
	if err != nil {
		return c.fail(&Error{Reason: cell.DestroyInternal, Hop: c.stack.Len() + 1, Err: err})
	}
	c.join(layer, onion, inc)
	c.onion = rendezvousJoined
	return nil
}

// join adds the far end of the rendezvous as the last hop.
func (c *Circuit) join(layer *relaycrypto.Layer, onion congestion.Params, inc int) {
	c.stack.Add(layer)
	c.flow = fixed(circuitWindow)
	if inc > 0 {
		onion.SendmeIncrement = inc
		c.flow.vegas, c.flow.increment = congestion.New(onion), inc
	}
	c.cfg.XoffExit = c.cfg.XoffClient // both ends are clients
}

// BeginOnion opens a stream to a port of the service and appends the BEGIN cell, which
// names the port alone and has no flags (rend-spec-v3 §4.4).
func (c *Circuit) BeginOnion(dst []byte, port uint16) ([]byte, cell.StreamID, error) {
	if c.onion != rendezvousJoined {
		return dst, 0, ErrNotOpen
	}
	return c.open(dst, cell.RelayBegin, cell.AppendBeginPort(nil, port))
}
