package fold

import (
	"fmt"

	"chive/messages/chivev1"
)

// A conflux set is a circuit whose hops are those of its legs: it is building until all
// that it wants are linked, and open from then on.

// IsSet says whether it is a conflux set.
func (c *Circuit) IsSet() bool { return c.Wanted > 0 }

func (c *Circuit) setLaunched(e *chivev1.Envelope, body *chivev1.CircuitSetLaunched) error {
	if c.State != CircuitNone {
		return refuse(e, c.State, "")
	}
	if body.GetLegs() < 2 {
		return refuse(e, c.State, fmt.Sprintf("a set of %d legs", body.GetLegs()))
	}
	*c = Circuit{ID: e.GetActorId(), Purpose: body.GetPurpose(), Wanted: body.GetLegs()}
	c.enter(CircuitBuilding, e)
	return nil
}

func (c *Circuit) legLinked(e *chivev1.Envelope) error {
	if !c.IsSet() || c.State != CircuitBuilding || c.Legs >= c.Wanted {
		return refuse(e, c.State, fmt.Sprintf("with %d legs of %d", c.Legs, c.Wanted))
	}
	c.Legs++
	return nil
}

func (c *Circuit) setLinked(e *chivev1.Envelope, legs uint32) error {
	if !c.IsSet() || c.State != CircuitBuilding || legs != c.Wanted || c.Legs != c.Wanted {
		return refuse(e, c.State, fmt.Sprintf("with %d legs, %d of %d linked", legs, c.Legs, c.Wanted))
	}
	c.enter(CircuitOpen, e)
	return nil
}

func (c *Circuit) legLost(e *chivev1.Envelope, linked bool) error {
	if !c.IsSet() || c.State != CircuitBuilding && c.State != CircuitOpen || linked && c.Legs == 0 {
		return refuse(e, c.State, fmt.Sprintf("with %d legs of %d", c.Legs, c.Wanted))
	}
	if linked {
		c.Legs--
	}
	return nil
}
