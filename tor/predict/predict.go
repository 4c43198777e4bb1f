// Package predict says what circuits to keep ready, from the ports that streams were
// asked for lately (path-spec §2.1.1). It knows neither targets nor who asked: a clean
// circuit belongs to nobody until a stream uses it.
//
// The ports 80 and 443 are predicted from the start. A port that is used is predicted
// for as long as the user says (PredictedPortsRelevanceTime). Every predicted port
// needs two clean circuits whose exits carry it; one circuit may count for many ports.
// Whether a port needs Stable relays is the caller's to know: a circuit that lacks them
// does not carry it.
package predict

import (
	"cmp"
	"slices"
	"time"
)

const (
	// PerPort is how many clean circuits a predicted port needs (path-spec §2.1.1).
	PerPort = 2
	// maxPorts bounds the ports that are remembered; those used last stay.
	maxPorts = 64
)

// Port is a sort of target.
type Port struct {
	Number uint16
	IPv6   bool // the target was an IPv6 address, and not a name
}

// first are the ports predicted before any was used, the likelier one first. It also
// says what a circuit is for when nothing is predicted.
var first = [...]Port{{Number: 443}, {Number: 80}}

// Ports remembers when each port was last used. It is not safe for concurrent use.
type Ports struct {
	used map[Port]time.Time
}

// New predicts the ports that most streams are for.
func New(now time.Time) *Ports {
	p := &Ports{used: map[Port]time.Time{}}
	for _, port := range first {
		p.used[port] = now
	}
	return p
}

// Used takes note of a stream that was asked for. A port 0 is none.
func (p *Ports) Used(port Port, now time.Time) {
	if port.Number == 0 {
		return
	}
	p.used[port] = now
	if len(p.used) > maxPorts {
		order := p.newestFirst()
		delete(p.used, order[len(order)-1])
	}
}

// Predicted lists the ports used less than life ago, the latest first. Times after now
// count as now: the clock went back.
func (p *Ports) Predicted(now time.Time, life time.Duration) []Port {
	for port, at := range p.used {
		if at.After(now) {
			p.used[port] = now
		}
	}
	return slices.DeleteFunc(p.newestFirst(), func(port Port) bool { return now.Sub(p.used[port]) >= life })
}

func (p *Ports) newestFirst() []Port {
	out := make([]Port, 0, len(p.used))
	for port := range p.used {
		out = append(out, port)
	}
	slices.SortFunc(out, func(a, b Port) int {
		return cmp.Or(p.used[b].Compare(p.used[a]), cmp.Compare(b.Number, a.Number), compareBool(a.IPv6, b.IPv6))
	})
	return out
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// Next says for what port a circuit is missing, given the clean ones, those being built
// among them: first for a predicted port that fewer than PerPort carry; then, when there
// are fewer than least, for the first of the predicted ports (443 if there is none).
// There is none missing once there are most.
func Next[C any](predicted []Port, clean []C, carries func(C, Port) bool, least, most int) (Port, bool) {
	if len(clean) >= most {
		return Port{}, false
	}
	for _, port := range predicted {
		n := 0
		for _, c := range clean {
			if carries(c, port) {
				n++
			}
		}
		if n < PerPort {
			return port, true
		}
	}
	if len(clean) >= least {
		return Port{}, false
	}
	if len(predicted) > 0 {
		return predicted[0], true
	}
	return first[0], true
}
