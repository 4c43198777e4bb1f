package hosting

import (
	"errors"
	"maps"
	"slices"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/onion/heal"
	"chive/tor/onion/host"
	"chive/tor/onion/pow"
)

// Status is one service for people and scripts of this machine: it has the address in it.
type Status struct {
	ID      string `json:"id"`   // in events, for one boot
	Dir     string `json:"dir"`  // empty: its keys are in memory alone
	From    string `json:"from"` // who says that it is hosted: file, environment, command line, chive onion add, transient (the same for this run alone) or program
	Address string `json:"address,omitempty"`
	// State is starting, publishing, published, standby (another node publishes) or failed; and
	// when it is known, up, impaired, broken or unverified. It is ending when the node is about
	// to end, and nobody new is met.
	State string `json:"state"`
	// Begins is when a service begins that waits for its turn among many of the node; zero:
	// it does not wait.
	Begins        time.Time `json:"begins,omitzero"`
	Ports         []uint16  `json:"ports,omitempty"`
	Targets       []Target  `json:"targets,omitempty"`    // of the ports; none of a program's service
	Restricted    bool      `json:"restricted,omitempty"` // for authorised clients only
	Points        []Point   `json:"introduction_points,omitempty"`
	Periods       []Period  `json:"periods,omitempty"`
	Clients       int       `json:"clients_met"`       // circuits that are open
	Introductions uint64    `json:"introductions"`     // by clients, since it started; those of Points are a part of it
	Visits        uint64    `json:"visits"`            // by the node itself, likewise; they are in no other figure
	Met           uint64    `json:"met"`               // likewise
	Missed        uint64    `json:"missed,omitempty"`  // clients that could not be met
	Refused       uint64    `json:"refused,omitempty"` // introductions that were not answered
	Effort        uint32    `json:"effort,omitempty"`  // of the proof of work that is suggested
	Waiting       int       `json:"waiting,omitempty"` // introductions that are to be answered
	Health        *Health   `json:"health,omitempty"`
	// Relays are those of introduction points of this run, by number.
	Relays  map[string]string `json:"relays,omitempty"`
	Keys    *Keys             `json:"delegated_keys,omitempty"`
	Problem string            `json:"problem,omitempty"`

	Shared *SharedStatus `json:"shared,omitempty"` // with other nodes
	meter  *meter
}

// Ending is Status.State of a service that meets nobody new, for its node is about to end.
const Ending = "ending"

// Published reports whether a descriptor for each period is at one directory or more.
func (s *Status) Published() bool {
	return len(s.Periods) > 0 && !slices.ContainsFunc(s.Periods, func(p Period) bool { return p.Begins.IsZero() && p.Stored == 0 || p.Problem != "" })
}

// Point is one introduction point.
type Point struct {
	ID            uint64    `json:"id"`
	Relay         string    `json:"relay"`         // fingerprint
	State         string    `json:"state"`         // building, up or retired
	Introductions uint64    `json:"introductions"` // by clients, since the service started
	Visits        uint64    `json:"visits"`        // by the node itself, likewise
	Expires       time.Time `json:"expires"`
}

// Period is what is published for one of the two periods.
type Period struct {
	Number      uint64    `json:"number"`
	Published   time.Time `json:"published,omitzero"`
	Next        time.Time `json:"next,omitzero"`
	Begins      time.Time `json:"begins,omitzero"` // the turn of the service, in a period that has just begun
	Points      int       `json:"introduction_points"`
	Directories int       `json:"directories"`
	Stored      int       `json:"stored"` // at so many of them
	Problem     string    `json:"problem,omitempty"`
}

// look makes the status.
func (a *serviceActor) look() *Status {
	s := a.machine.Status()
	out := &Status{
		ID: a.e.id, Dir: a.service.Dir, Address: a.store.Address.Host(), State: "publishing", Ports: ports(&a.service),
		Restricted: a.machine.Restricted(), Introductions: a.tally.all.clients, Visits: a.tally.all.visits, Met: a.tally.met, Missed: a.tally.missed,
		Refused: a.tally.refused, Effort: s.Effort, Waiting: s.Waiting,
	}
	for _, p := range s.Points {
		n := a.tally.of[p.ID]
		v := Point{ID: uint64(p.ID), Relay: p.Relay.String(), State: "building", Introductions: n.clients, Visits: n.visits, Expires: p.Expires}
		switch {
		case p.Retired:
			v.State = "retired"
		case p.Up:
			v.State = "up"
		}
		out.Points = append(out.Points, v)
	}
	for _, p := range s.Periods {
		v := Period{Number: p.Period.Number, Published: p.Built, Next: p.Next, Begins: p.Begins, Points: p.Points, Directories: p.Directories, Stored: p.Stored}
		if p.Problem != nil {
			v.Problem = p.Problem.Error()
		}
		out.Periods = append(out.Periods, v)
	}
	switch {
	case len(s.Periods) == 0:
		out.State = "starting"
	case !s.Begins.IsZero():
		out.State, out.Begins = "starting", s.Begins
	case out.Published():
		out.State = "published"
	}
	out.Health = a.wellness()
	if v := a.health.judge.Status().Verdict; v != heal.Starting {
		out.State = v.String()
	}
	a.lookAtKeys(out, &s)
	for _, u := range a.uses {
		if u.met {
			out.Clients++
		}
	}
	a.lookShared(out)
	if a.closed {
		out.State, out.Health.Next = Ending, time.Time{} // it is visited no more
	}
	return out
}

// tellEvery is how often refused introductions are told at most: whoever floods a service
// must not flood its operator.
const tellEvery = 10 * time.Second

// tally counts, and gathers what is refused.
type tally struct {
	met, missed, refused uint64
	all                  arrivals
	of                   map[host.PointID]arrivals // points that there are, or were until lately

	untold uint64
	reason string
	last   time.Time // told
}

// arrivals are introductions that came.
type arrivals struct{ clients, visits uint64 }

// arrived counts one. What it is for is known later: a client's, until it is visited.
func (t *tally) arrived(p host.PointID) {
	if t.of == nil {
		t.of = map[host.PointID]arrivals{}
	}
	at := t.of[p]
	t.all.clients++
	at.clients++
	t.of[p] = at
}

// forget drops points that are no more. One that was given up stays for as long as its circuit does:
// clients come by it.
func (t *tally) forget(m *host.Service) {
	maps.DeleteFunc(t.of, func(p host.PointID, _ arrivals) bool {
		_, there := m.AuthKey(p)
		return !there
	})
}

// visited: the one that arrived last was of the node itself.
func (t *tally) visited(p host.PointID) {
	t.all.clients--
	t.all.visits++
	if at, ok := t.of[p]; ok { // else the point went in the same turn
		at.clients--
		at.visits++
		t.of[p] = at
	}
}

func (t *tally) refuse(cause error, n uint64) {
	t.refused += n
	t.untold += n
	t.reason = refusal(cause)
}

// due is when what is untold is to be told; zero: nothing is.
func (t *tally) due() time.Time {
	if t.untold == 0 {
		return time.Time{}
	}
	return t.last.Add(tellEvery)
}

func (t *tally) flush(a *serviceActor, now time.Time) {
	if t.untold == 0 || now.Before(t.due()) {
		return
	}
	a.emit(messages.Event(chivev1.Kind_KIND_HOSTING, a.e.id, &chivev1.HostingRefused{Count: t.untold, Reason: t.reason}))
	t.untold, t.last = 0, now
}

// refusal is one word.
func refusal(err error) string {
	for _, proof := range []error{pow.ErrSeed, pow.ErrReplay, pow.ErrCheap, pow.ErrEffort, pow.ErrSolution, pow.ErrMalformed} {
		if errors.Is(err, proof) {
			return "proof"
		}
	}
	switch {
	case errors.Is(err, host.ErrReplay):
		return "replay"
	case errors.Is(err, host.ErrCrowded):
		return "crowded"
	}
	return "malformed"
}
