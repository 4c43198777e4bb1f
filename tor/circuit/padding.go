package circuit

import (
	"fmt"
	"time"

	"chive/tor/cell"
	padding "chive/tor/padding/circuit"
)

// A circuit to an onion service is padded by its second hop (padding-spec §3): the stages
// that the machines know follow from what the circuit asks and hears (onion.go).

// epoch is where the clock of a circuit's padding begins; only differences count.
var epoch = time.Unix(0, 0)

func (c *Circuit) now() time.Time { return epoch.Add(c.cfg.Now()) }

// padded: does a machine run?
func (c *Circuit) padded() bool { return c.padding != nil && c.padding.Running() }

// enter tells the padding what the circuit is for now, and appends what that asks of the
// second hop.
func (c *Circuit) enter(dst []byte, s padding.Stage) []byte {
	if c.padding == nil || c.stack.Len() < padding.Hop {
		return dst
	}
	return c.sendPadding(dst, c.padding.Enter(nil, s, c.now()))
}

// sendPadding seals messages to the second hop; of these the machine is not told.
func (c *Circuit) sendPadding(dst []byte, messages []padding.Message) []byte {
	for _, m := range messages {
		c.unpadded = true
		dst = c.seal(dst, cell.Relay, padding.Hop-1, cell.RelayHeader{Cmd: m.Command}, m.Data)
		c.unpadded = false
		if m.Command == cell.RelayDrop {
			c.counters.Padding++
		}
	}
	return dst
}

// ConfigurePadding changes what the user and the consensus say of it.
func (c *Circuit) ConfigurePadding(dst []byte, p padding.Policy) []byte {
	if c.padding == nil || c.state != Open {
		return dst
	}
	return c.sendPadding(dst, c.padding.Configure(nil, p))
}

// PaddingDue is when Pad is to be called, on the clock of Config.Now; false: it is not.
func (c *Circuit) PaddingDue() (at time.Duration, ok bool) {
	if c.padding == nil || c.state != Open {
		return 0, false
	}
	due, ok := c.padding.Due()
	return due.Sub(epoch), ok
}

// Pad appends the padding that is due.
func (c *Circuit) Pad(dst []byte) []byte {
	if c.padding == nil || c.state != Open {
		return dst
	}
	return c.sendPadding(dst, c.padding.Tick(nil, c.now()))
}

// PaddingHolds says that the circuit is to stay open though it has done what it was for.
func (c *Circuit) PaddingHolds() bool {
	return c.padding != nil && c.state == Open && c.padding.Holds(c.now())
}

// receivePadding takes a DROP or a PADDING_NEGOTIATED: one that no machine has agreed on
// closes the circuit.
func (c *Circuit) receivePadding(hop int, h cell.RelayHeader, data []byte) error {
	if c.padding == nil || c.state != Open || h.Stream != 0 {
		return c.violation(hop+1, fmt.Errorf("%w: %v", ErrPadding, h.Cmd))
	}
	if err := c.padding.Receive(hop+1, padding.Message{Command: h.Cmd, Data: data}, c.now()); err != nil {
		return c.violation(hop+1, fmt.Errorf("%w: %w", ErrPadding, err))
	}
	if h.Cmd == cell.RelayDrop {
		c.counters.PaddingIn++
	}
	return nil
}
