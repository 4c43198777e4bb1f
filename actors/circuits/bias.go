package circuits

import (
	"chive/actors/circuit"
	"chive/messages/chivev1"
	"chive/tor/netdoc"
	"chive/tor/pathbias"
)

// Bias is told what becomes of circuits for users, as tor/pathbias counts it. It only
// listens: nothing here depends on what it makes of it (rule 0). Its methods are called
// in this actor's turn and do not wait.
type Bias interface {
	Update(netdoc.Params)
	Built(circuit string, guard netdoc.Digest)
	Unbuilt(guard netdoc.Digest)
	TimedOut(guard netdoc.Digest)
	Used(circuit string)
	Ended(circuit string, how pathbias.End)
	// Tick is called about every second.
	Tick()
}

// noBias is for those who do not count.
type noBias struct{}

func (noBias) Update(netdoc.Params)        {}
func (noBias) Built(string, netdoc.Digest) {}
func (noBias) Unbuilt(netdoc.Digest)       {}
func (noBias) TimedOut(netdoc.Digest)      {}
func (noBias) Used(string)                 {}
func (noBias) Ended(string, pathbias.End)  {}
func (noBias) Tick()                       {}

// secondHop is from which hop's answer on a circuit counts.
const secondHop = 2

// built counts a circuit that was built.
func (c *circuits) built(r *record) {
	if r.set == nil {
		c.o.Bias.Built(r.id, r.first)
	}
}

// accounted counts the end of a circuit.
func (c *circuits) accounted(r *record, m *circuit.Gone) {
	if r.purpose != chivev1.Purpose_PURPOSE_GENERAL || r.set != nil {
		return
	}
	built := m.WasOpen || r.measured
	switch {
	case built:
		c.o.Bias.Ended(r.id, endOf(m))
	case m.Outcome == chivev1.Outcome_OUTCOME_SHUTDOWN, m.Outcome == chivev1.Outcome_OUTCOME_INTERNAL, r.closing:
	case m.Hops >= secondHop:
		c.o.Bias.Unbuilt(r.first)
	}
}

func endOf(m *circuit.Gone) pathbias.End {
	switch m.Outcome {
	case chivev1.Outcome_OUTCOME_SHUTDOWN, chivev1.Outcome_OUTCOME_INTERNAL:
		return pathbias.Unknown
	}
	if m.Use == circuit.Unanswered {
		return pathbias.Unusable
	}
	switch m.Outcome {
	case chivev1.Outcome_OUTCOME_DESTROYED, chivev1.Outcome_OUTCOME_CIRCUIT_PROTOCOL, chivev1.Outcome_OUTCOME_CONNECTION_LOST:
		return pathbias.Lost
	}
	return pathbias.ByUs
}
