package circuit

import (
	"fmt"
	"time"

	"chive/tor/cell"
	padding "chive/tor/padding/circuit"
)

// Circuit padding (padding-spec §3): the machines of package padding, for circuits that a
// client reaches onion services by. What they have sent goes to the second hop, and no
// window counts it.

// clock is now for the machines, which count from anywhere.
func (c *Circuit) clock() time.Time { return time.Time{}.Add(time.Hour + c.cfg.Now()) }

// ofPadding: is it a message of the machines?
func ofPadding(command cell.RelayCommand) bool {
	return command == cell.RelayDrop || command == cell.RelayPaddingNegotiate || command == cell.RelayPaddingNegotiated
}

// pads appends what the machines have sent.
func (c *Circuit) pads(dst []byte, all []padding.Message) []byte {
	for _, m := range all {
		dst = c.seal(dst, cell.Relay, padding.Hop-1, cell.RelayHeader{Cmd: m.Command}, m.Data)
		c.counters.PaddingOut++
	}
	return dst
}

// enter tells the machines what the circuit is for now.
func (c *Circuit) enter(dst []byte, s padding.Stage) []byte {
	if c.padding == nil {
		return dst
	}
	return c.pads(dst, c.padding.Enter(nil, s, c.clock()))
}

// heardOnion is enter for what the last hop said.
func (c *Circuit) heardOnion(dst []byte, kind EventKind) []byte {
	switch kind {
	case RendezvousEstablished:
		return c.enter(dst, padding.Rendezvous)
	case IntroduceAck:
		return c.enter(dst, padding.Acknowledged)
	}
	return dst
}

// receivePadding takes what a relay's machine sent, if there is one that may.
func (c *Circuit) receivePadding(hop int, h cell.RelayHeader, data []byte) error {
	if c.padding == nil || h.Stream != 0 {
		return c.violation(hop+1, ErrPadding)
	}
	c.counters.PaddingIn++
	if err := c.padding.Receive(hop+1, padding.Message{Command: h.Cmd, Data: data}, c.clock()); err != nil {
		return c.violation(hop+1, fmt.Errorf("%w: %w", ErrPadding, err))
	}
	return nil
}

// PaddingDue is in how long Pad is to be called; ok is false if it needn't be.
func (c *Circuit) PaddingDue() (in time.Duration, ok bool) {
	if c.padding == nil || c.state != Open {
		return 0, false
	}
	at, ok := c.padding.Due()
	return max(0, at.Sub(c.clock())), ok
}

// Pad appends the padding that is due.
func (c *Circuit) Pad(dst []byte) []byte {
	if c.padding == nil || c.state != Open {
		return dst
	}
	return c.pads(dst, c.padding.Tick(nil, c.clock()))
}

// ConfigurePadding changes what the user and the consensus say, and appends what to send.
func (c *Circuit) ConfigurePadding(dst []byte, p padding.Policy) []byte {
	if c.padding == nil || c.state != Open {
		return dst
	}
	return c.pads(dst, c.padding.Configure(nil, p))
}

// PaddingHolds reports whether the circuit is to stay open though its owner is done with
// it: a machine goes on.
func (c *Circuit) PaddingHolds() bool {
	return c.padding != nil && c.state == Open && c.padding.Holds(c.clock())
}
