package hosting

import (
	"context"
	"errors"
	"sync"
	"time"

	"chive/actors/outcome"
	"chive/actors/stream"
	"chive/config"
	"chive/messages"
)

// Target is where a port of a service leads to, and whether that answers. Nothing but
// clients' streams asks it: the node's own visits open none.
type Target struct {
	Port   uint16    `json:"port"`
	Target string    `json:"target"`         // as HiddenServicePort says it
	State  string    `json:"state"`          // untried, answers or refuses, as it was with the last stream
	Last   time.Time `json:"last,omitzero"`  // stream
	Since  time.Time `json:"since,omitzero"` // it refuses: the first stream that it refused since it last answered
	Failed int       `json:"failed,omitempty"`
	Reason string    `json:"reason,omitempty"` // an outcome
}

const (
	untried = "untried"
	answers = "answers"
	refuses = "refuses"
)

// targets are those of a service. They outlive its actor; streams write it down.
type targets struct {
	mu   sync.Mutex // protects seen
	seen map[config.OnionPort]Target
}

// watched dials a target and writes down whether it answered. A client who leaves meanwhile
// says nothing of it, nor does one for whom there is no socket.
func (t *targets) watched(p config.OnionPort, now func() time.Time, dial stream.Dial) stream.Dial {
	return func(ctx context.Context) (stream.Conn, error) {
		conn, err := dial(ctx)
		if err == nil || !stream.Full(err) && !errors.Is(ctx.Err(), context.Canceled) {
			t.note(p, err, now())
		}
		return conn, err
	}
}

func (t *targets) note(p config.OnionPort, err error, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.seen[p]
	is := Target{State: answers, Last: now}
	if err != nil {
		is = Target{State: refuses, Last: now, Since: was.Since, Failed: was.Failed + 1, Reason: messages.OutcomeName(outcome.FromDial(err))}
		if was.State != refuses {
			is.Since, is.Failed = now, 1
		}
	}
	if t.seen == nil {
		t.seen = map[config.OnionPort]Target{}
	}
	t.seen[p] = is
}

// read gives those of ports that there are, in their order, and forgets the others.
func (t *targets) read(ports []config.OnionPort) (out []Target) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := map[config.OnionPort]Target{}
	for _, p := range ports {
		v, ok := t.seen[p]
		if ok {
			seen[p] = v
		} else {
			v.State = untried
		}
		v.Port, v.Target = p.Port, p.To()
		out = append(out, v)
	}
	t.seen = seen
	return out
}
