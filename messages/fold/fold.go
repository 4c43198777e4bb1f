package fold

import (
	"fmt"

	"chive/messages"
	"chive/messages/chivev1"
)

// TransitionError is an event that the state does not allow.
type TransitionError struct {
	Kind   chivev1.Kind
	ID     string // actor id
	State  string // before the event
	Event  string // "circuit-opened"
	Reason string // what is wrong with it; "" when the state says enough
}

func (e *TransitionError) Error() string {
	text := fmt.Sprintf("%s %s: %s in state %s", messages.KindToken(e.Kind), e.ID, e.Event, e.State)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

func refuse(e *chivev1.Envelope, state fmt.Stringer, reason string) error {
	return &TransitionError{
		Kind: e.GetKind(), ID: e.GetActorId(), State: state.String(), Event: messages.Name(e), Reason: reason,
	}
}

// check refuses an event about another actor than the folded one, whose id is
// "" before its first event.
func check(e *chivev1.Envelope, kind chivev1.Kind, id string, state fmt.Stringer) error {
	switch {
	case e.GetKind() != kind:
		return refuse(e, state, "it is not about a "+messages.KindToken(kind))
	case e.GetActorId() == "":
		return refuse(e, state, "it has no actor id")
	case id != "" && e.GetActorId() != id:
		return refuse(e, state, "it is not about "+id)
	}
	return nil
}
