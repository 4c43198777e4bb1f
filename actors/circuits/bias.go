package circuits

import (
	"chive/actors/circuit"
	"chive/messages/chivev1"
	"chive/tor/netdoc"
	"chive/tor/pathbias"
)

// Bias is told what becomes of circuits, as tor/pathbias counts it. It only
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

// counts says of whose circuits it is told (C tor likewise): not of those to a relay that a
// service or its client chose, who could make them fail.
func counts(p chivev1.Purpose) bool {
	switch p {
	case chivev1.Purpose_PURPOSE_GENERAL, chivev1.Purpose_PURPOSE_ONION_DIRECTORY, chivev1.Purpose_PURPOSE_RENDEZVOUS,
		chivev1.Purpose_PURPOSE_HOSTING_INTRODUCTION, chivev1.Purpose_PURPOSE_HOSTING_DIRECTORY, stem:
		return true
	}
	return false
}

// built counts a circuit that was built.
func (c *circuits) built(r *record) {
	if r.set == nil && counts(r.purpose) && !r.extended {
		c.o.Bias.Built(r.id, r.first)
	}
}

// accounted counts the end of a circuit.
func (c *circuits) accounted(r *record, m *circuit.Gone) {
	if !counts(r.purpose) || r.set != nil || r.extended { // that one was counted when it was given away
		return
	}
	built := m.WasOpen || r.measured
	switch {
	case built:
		end := endOf(m)
		if end == pathbias.Unusable && r.meets != nil {
			end = pathbias.ByUs // the service came over it; that it then said nothing is the service's
		}
		c.o.Bias.Ended(r.id, end)
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
