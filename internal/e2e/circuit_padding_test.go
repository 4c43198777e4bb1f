package e2e

import (
	"testing"

	"chive/internal/testnet"
	"chive/messages"
	"chive/messages/chivev1"
)

// C tor's relays run the other end of the machines of circuits to onion services, and what
// they pad with is no more than was agreed; switched off there is none.
func TestCircuitPadding(t *testing.T) {
	n := testnet.ForTest(t, testnet.Options{})
	site := bytesOf(n.Onion(), 100_000)
	visit := func(options ...string) (*client, map[chivev1.Purpose][]*chivev1.CircuitClosed) {
		c := start(t, n, options...)
		if _, got, err := c.get(t.Context(), "", site); err != nil || got != 100_000 {
			t.Fatalf("%d bytes, %v", got, err)
		}
		c.until(t, "the client is done with the introduction", func() bool { return c.count(func(e *chivev1.Envelope) bool { return e.GetServiceJoined() != nil }) > 0 })
		c.stop()
		return c, c.closings()
	}

	c, circuits := visit()
	intro, rend := circuits[chivev1.Purpose_PURPOSE_INTRODUCTION], circuits[chivev1.Purpose_PURPOSE_RENDEZVOUS]
	if len(intro) == 0 || len(rend) == 0 {
		t.Fatalf("%d introduction circuits, %d of rendezvous", len(intro), len(rend))
	}
	held := 0
	for _, x := range intro {
		if x.GetPaddingOut() > 0 && (x.GetPaddingIn() < 8 || x.GetPaddingIn() > 12) { // 7 to 10, and what begins and ends the machine
			t.Errorf("%d messages of padding came on an introduction circuit", x.GetPaddingIn())
		}
		if x.GetOutcome() == chivev1.Outcome_OUTCOME_SHUTDOWN {
			held++
		}
	}
	padded := 0
	for _, x := range rend {
		if x.GetPaddingOut() > 2 || x.GetPaddingIn() > 2 {
			t.Errorf("%d messages of padding out and %d in on a rendezvous circuit", x.GetPaddingOut(), x.GetPaddingIn())
		}
		if x.GetPaddingOut() > 1 && x.GetPaddingIn() > 1 {
			padded++
		}
	}
	if held == 0 || padded == 0 {
		t.Errorf("%d introduction circuits stayed open, %d rendezvous circuits were padded both ways", held, padded)
	}
	if n := c.count(func(e *chivev1.Envelope) bool {
		return e.GetCircuitClosed().GetOutcome() == chivev1.Outcome_OUTCOME_CIRCUIT_PROTOCOL
	}); n > 0 {
		t.Errorf("%d circuits ended for a violation", n)
	}

	for _, option := range []string{"CircuitPadding 0", "ReducedCircuitPadding 1"} {
		_, circuits := visit(option)
		for purpose, all := range circuits {
			for _, x := range all {
				if x.GetPaddingIn()+x.GetPaddingOut() > 0 {
					t.Errorf("%s: padding on a circuit for %s: %v", option, messages.PurposeName(purpose), x)
				}
			}
		}
	}
}

// closings are the ends of circuits that had opened, by what they were launched for.
func (c *client) closings() map[chivev1.Purpose][]*chivev1.CircuitClosed {
	c.mu.Lock()
	defer c.mu.Unlock()
	purpose, out := map[string]chivev1.Purpose{}, map[chivev1.Purpose][]*chivev1.CircuitClosed{}
	for _, e := range c.log {
		if l := e.GetCircuitLaunched(); l != nil {
			purpose[e.GetActorId()] = l.GetPurpose()
		}
		if x := e.GetCircuitClosed(); x != nil {
			out[purpose[e.GetActorId()]] = append(out[purpose[e.GetActorId()]], x)
		}
	}
	return out
}
