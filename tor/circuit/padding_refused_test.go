package circuit

import (
	"fmt"
	"testing"

	"chive/tor/cell"
	padding "chive/tor/padding/circuit"
)

// In every stage, from every hop: what a relay may not say of padding closes the circuit.
func TestPaddingIsRefusedInEveryStage(t *testing.T) {
	introduced := func(r *relays) *Circuit {
		c := r.padded()
		if _, err := c.Introduce(nil, nil); err != nil {
			r.t.Fatal(err)
		}
		return c
	}
	stages := map[string]func(r *relays) *Circuit{
		"a circuit without machines": (*relays).build,
		"before anything":            (*relays).padded,
		"a stream": func(r *relays) *Circuit {
			c := r.padded()
			r.stream(c)
			return c
		},
		"introduced": introduced,
		"agreed": func(r *relays) *Circuit {
			c := introduced(r)
			if _, err := r.receive(c, r.send(1, cell.RelayPaddingNegotiated, 0, negotiated(padding.Start, 0))); err != nil {
				r.t.Fatal(err)
			}
			return c
		},
	}
	type message struct {
		command cell.RelayCommand
		id      cell.StreamID
		data    []byte
	}
	counter := negotiated(padding.Start, 0)
	counter[7] = 2
	refused := negotiated(padding.Stop, 0)
	refused[2] = byte(padding.Err)
	messages := map[string]message{
		"DROP":             {cell.RelayDrop, 0, nil},
		"DROP of a stream": {cell.RelayDrop, 7, nil},
		"START OK":         {cell.RelayPaddingNegotiated, 0, negotiated(padding.Start, 0)},
		"STOP OK":          {cell.RelayPaddingNegotiated, 0, negotiated(padding.Stop, 0)},
		"of a stream":      {cell.RelayPaddingNegotiated, 7, negotiated(padding.Start, 0)},
		"a STOP refused":   {cell.RelayPaddingNegotiated, 0, refused},
		"another counter":  {cell.RelayPaddingNegotiated, 0, counter},
		"another machine":  {cell.RelayPaddingNegotiated, 0, negotiated(padding.Start, 1)},
		"cut short":        {cell.RelayPaddingNegotiated, 0, []byte{0}},
		"NEGOTIATE":        {cell.RelayPaddingNegotiate, 0, make([]byte, 8)},
	}
	may := map[string]bool{"introduced: START OK": true, "agreed: DROP": true, "agreed: STOP OK": true}
	for stage, at := range stages {
		for what, m := range messages {
			for hop := range 3 {
				r := newRelays(t, 3)
				c := at(r)
				_, err := r.receive(c, r.send(hop, m.command, m.id, m.data))
				name := fmt.Sprintf("%s: %s", stage, what)
				if legal := hop == 1 && may[name]; legal != (err == nil) || legal == (c.State() == Closed) {
					t.Errorf("%s, from hop %d: %v, state %v", name, hop+1, err, c.State())
				}
			}
		}
	}
}
