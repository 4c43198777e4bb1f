package fold

import (
	"fmt"
	"time"

	"chive/messages/chivev1"
)

// CircuitState is where a circuit is in its life.
type CircuitState uint8

// The states of a circuit; see the package's diagram.
const (
	CircuitNone CircuitState = iota
	CircuitBuilding
	CircuitOpen
	CircuitFailed
	CircuitClosed
)

func (s CircuitState) String() string {
	return [...]string{"none", "building", "open", "failed", "closed"}[s]
}

// Circuit is a circuit as its events tell it. The zero value is one of which
// nothing is known.
type Circuit struct {
	ID         string
	State      CircuitState
	Purpose    chivev1.Purpose
	Connection string // actor id
	Hops       uint32 // asked for
	Reached    uint32 // hops it has
	OneHop     bool
	Dirty      bool            // a stream was attached
	Set        string          `json:",omitempty"` // actor id of the conflux set it is a leg of
	Wanted     uint32          `json:",omitempty"` // legs of a conflux set; 0: it is none
	Legs       uint32          `json:",omitempty"` // of those, linked
	Isolation  string          // token of the streams it may carry, once dirty
	Since      time.Time       // of the state
	Outcome    chivev1.Outcome // once failed or closed
}

// Ended says whether the circuit is gone.
func (c *Circuit) Ended() bool { return c.State == CircuitFailed || c.State == CircuitClosed }

// Apply folds one event about this circuit in. After an error c is as before.
func (c *Circuit) Apply(e *chivev1.Envelope) error {
	if err := check(e, chivev1.Kind_KIND_CIRCUIT, c.ID, c.State); err != nil {
		return err
	}
	switch body := e.GetEvent().(type) {
	case *chivev1.Envelope_ActorFailed:
		return nil
	case *chivev1.Envelope_CircuitLaunched:
		return c.launched(e, body.CircuitLaunched)
	case *chivev1.Envelope_CircuitExtended:
		return c.extended(e, body.CircuitExtended.GetHop())
	case *chivev1.Envelope_CircuitOpened:
		return c.opened(e, body.CircuitOpened.GetHops())
	case *chivev1.Envelope_CircuitAssigned:
		return c.assigned(e, body.CircuitAssigned)
	case *chivev1.Envelope_CircuitDirtied:
		if c.State != CircuitOpen || c.Dirty {
			return refuse(e, c.State, "a circuit is dirtied once, while open")
		}
		c.Dirty, c.Isolation = true, body.CircuitDirtied.GetIsolation()
		return nil
	case *chivev1.Envelope_CircuitSetLaunched:
		return c.setLaunched(e, body.CircuitSetLaunched)
	case *chivev1.Envelope_CircuitLegLinked:
		return c.legLinked(e)
	case *chivev1.Envelope_CircuitSetLinked:
		return c.setLinked(e, body.CircuitSetLinked.GetLegs())
	case *chivev1.Envelope_CircuitLegLost:
		return c.legLost(e, body.CircuitLegLost.GetLinked())
	case *chivev1.Envelope_CircuitFailed:
		if c.State != CircuitBuilding {
			return refuse(e, c.State, "")
		}
		c.enter(CircuitFailed, e)
		c.Outcome = body.CircuitFailed.GetOutcome()
		return nil
	case *chivev1.Envelope_CircuitClosed:
		if c.State != CircuitOpen {
			return refuse(e, c.State, "")
		}
		c.enter(CircuitClosed, e)
		c.Outcome = body.CircuitClosed.GetOutcome()
		return nil
	}
	return refuse(e, c.State, "it is not a circuit's event")
}

func (c *Circuit) enter(s CircuitState, e *chivev1.Envelope) {
	c.State, c.Since = s, e.GetTime().AsTime()
}

func (c *Circuit) launched(e *chivev1.Envelope, body *chivev1.CircuitLaunched) error {
	if c.State != CircuitNone {
		return refuse(e, c.State, "")
	}
	if body.GetHops() == 0 {
		return refuse(e, c.State, "it has no hops")
	}
	*c = Circuit{
		ID: e.GetActorId(), Purpose: body.GetPurpose(), Connection: body.GetConnectionId(),
		Hops: body.GetHops(), OneHop: body.GetOneHop(), Set: body.GetSetId(),
	}
	c.enter(CircuitBuilding, e)
	return nil
}

func (c *Circuit) extended(e *chivev1.Envelope, hop uint32) error {
	if c.State != CircuitBuilding {
		return refuse(e, c.State, "")
	}
	if hop != c.Reached+1 || hop > c.Hops {
		return refuse(e, c.State, fmt.Sprintf("to hop %d after %d of %d", hop, c.Reached, c.Hops))
	}
	c.Reached = hop
	return nil
}

func (c *Circuit) opened(e *chivev1.Envelope, hops uint32) error {
	if c.State != CircuitBuilding {
		return refuse(e, c.State, "")
	}
	if hops != c.Hops || c.Reached != c.Hops {
		return refuse(e, c.State, fmt.Sprintf("with %d hops, %d of %d reached", hops, c.Reached, c.Hops))
	}
	c.enter(CircuitOpen, e)
	return nil
}

// assigned: a circuit that was built ahead is for something now. One that needs another hop
// is being built again.
func (c *Circuit) assigned(e *chivev1.Envelope, body *chivev1.CircuitAssigned) error {
	if c.State != CircuitOpen || c.Purpose != chivev1.Purpose_PURPOSE_ONION_STEM {
		return refuse(e, c.State, "a circuit that was built ahead is assigned once, while open")
	}
	if body.GetPurpose() == chivev1.Purpose_PURPOSE_ONION_STEM || body.GetHops() < c.Hops {
		return refuse(e, c.State, fmt.Sprintf("%d hops, and it had %d", body.GetHops(), c.Hops))
	}
	c.Purpose = body.GetPurpose()
	if body.GetHops() > c.Hops {
		c.Hops = body.GetHops()
		c.enter(CircuitBuilding, e)
	}
	return nil
}
