package node

import (
	"context"
	"time"

	"chive/config/logging"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/messages/fold"
)

// Trouble is what keeps a node from the network. Its bootstrap stays what it came to.
type Trouble struct {
	What    string    `json:"what"`         // no-relay, no-guard or no-circuit
	Since   time.Time `json:"since"`        // when there last was one; when the node started, if there never was
	Outcome string    `json:"last_outcome"` // of the latest try
}

// troubled puts what keeps the node from the network into a status.
func (s *Status) troubled(t *fold.Trouble, phase chivev1.BootstrapPhase) {
	if t == nil {
		return
	}
	s.Trouble = &Trouble{What: t.What, Since: t.Since, Outcome: messages.OutcomeName(t.Outcome)}
	switch {
	case phase == chivev1.BootstrapPhase_BOOTSTRAP_PHASE_DONE || s.Summary == "":
		s.Summary = t.Text()
	default:
		s.Summary += ": " + t.Text()
	}
}

func (s *status) trouble() *fold.Trouble {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Trouble()
}

// away is what the operator was told of it.
type away struct {
	what   string // "": nothing
	told   time.Time
	before time.Duration // how long it had been so when that was told
}

// tells compares what the operator was told with what is so: with what he is to be told
// now, "" for nothing.
func (a *away) tells(t *fold.Trouble, now time.Time) (msg string, args []any) {
	switch {
	case t == nil && a.what == "":
	case t == nil:
		msg, args = "the network answers again", []any{"after", (a.before + now.Sub(a.told)).Round(time.Second)} // of clocks that nobody sets
		*a = away{}
	case t.What != a.what:
		if a.what == "" {
			a.told, a.before = now, max(now.Sub(t.Since), 0)
		}
		a.what = t.What
		msg = t.Text() + "; streams wait, and it is tried on"
		args = []any{"reason", messages.OutcomeName(t.Outcome), "since", t.Since.UTC().Format(time.DateTime)}
	}
	return msg, args
}

// tellTrouble tells the operator once that the network is out of reach, and once that it is
// there again. Of a proxy that fails he is told by itself.
func (r *rootActor) tellTrouble() {
	if r.n.proxy.Load() != nil {
		return
	}
	if msg, args := r.away.tells(r.n.status.trouble(), r.n.o.Now()); msg != "" {
		r.n.o.Log.Log(context.Background(), logging.LevelNotice, msg, args...)
	}
}

// trouble is its name; "" of none.
func (s *Status) trouble() string {
	if s.Trouble == nil {
		return ""
	}
	return s.Trouble.What
}
