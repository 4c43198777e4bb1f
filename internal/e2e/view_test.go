package e2e

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"chive/messages/chivev1"
)

// view is what the log says about circuits and connections now.
type view struct {
	clean     int            // open general circuits that no stream has used
	cleanTo   map[string]int // the same by exit
	on        map[string]int // circuits by connection
	connected map[string]bool
	underway  int // circuits being built and connections being dialled
}

func (r *reloadable) view() view {
	log, _ := r.events(0)
	v := view{cleanTo: map[string]int{}, on: map[string]int{}, connected: map[string]bool{}}
	general, open, dirty, over := map[string]string{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	at, exit, dialled := map[string]string{}, map[string]string{}, map[string]bool{}
	for _, e := range log {
		id := e.GetActorId()
		switch ev := e.GetEvent().(type) {
		case *chivev1.Envelope_ConnectionDialled:
			dialled[id] = true
		case *chivev1.Envelope_ConnectionOpened:
			v.connected[id] = true
			delete(dialled, id)
		case *chivev1.Envelope_ConnectionFailed:
			delete(dialled, id)
		case *chivev1.Envelope_ConnectionClosed:
			delete(v.connected, id)
		case *chivev1.Envelope_CircuitLaunched:
			at[id] = ev.CircuitLaunched.GetConnectionId()
			if ev.CircuitLaunched.GetPurpose() == chivev1.Purpose_PURPOSE_GENERAL && ev.CircuitLaunched.GetSetId() == "" {
				general[id] = at[id]
				path := ev.CircuitLaunched.GetPath()
				exit[id] = strings.ToUpper(hex.EncodeToString(path[len(path)-1]))
			}
		case *chivev1.Envelope_CircuitOpened:
			open[id] = true
		case *chivev1.Envelope_CircuitDirtied:
			dirty[id] = true
		case *chivev1.Envelope_CircuitClosed, *chivev1.Envelope_CircuitFailed:
			over[id] = true
		}
	}
	for id := range general {
		if open[id] && !dirty[id] && !over[id] {
			v.clean++
			v.cleanTo[exit[id]]++
		}
	}
	for id, connection := range at {
		if !over[id] {
			v.on[connection]++
			if !open[id] {
				v.underway++
			}
		}
	}
	v.underway += len(dialled)
	return v
}

// settled waits until the node builds nothing of its own accord: what is told of next has been
// chosen by the settings that come next.
func (r *reloadable) settled(t *testing.T) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for still, last := 0, -1; still < 5; { // the next of many is launched a moment after one has opened
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after %v %d circuits and connections are still under way", patience, r.view().underway)
		}
		launched := r.count(func(e *chivev1.Envelope) bool {
			return e.GetCircuitLaunched() != nil || e.GetConnectionDialled() != nil
		})
		if launched == last && r.view().underway == 0 {
			still++
		} else {
			still, last = 0, launched
		}
	}
}

// drained uses up the clean circuits of a node that builds none ahead.
func (l *lab) drained(t *testing.T) {
	t.Helper()
	for {
		for l.view().clean > 0 {
			l.once(t)
		}
		if l.settled(t); l.view().clean == 0 {
			return
		}
	}
}

// idle is how many connections have no circuit.
func (v view) idle() (n int) {
	for id := range v.connected {
		if v.on[id] == 0 {
			n++
		}
	}
	return n
}

// streaming counts the streams that were asked for and have not ended.
func (r *reloadable) streaming() int {
	log, _ := r.events(0)
	open := map[string]bool{}
	for _, e := range log {
		switch {
		case e.GetStreamRequested() != nil:
			open[e.GetActorId()] = true
		case e.GetStreamEnded() != nil:
			delete(open, e.GetActorId())
		}
	}
	return len(open)
}

// launched lists the connections of general circuits launched since an index.
func (r *reloadable) launched(from int) (connections []string) {
	log, _ := r.events(from)
	for _, e := range log {
		if l := e.GetCircuitLaunched(); l.GetPurpose() == chivev1.Purpose_PURPOSE_GENERAL {
			connections = append(connections, l.GetConnectionId())
		}
	}
	return connections
}

// carrier is the circuit that a request went over.
func (r *reloadable) carrier(t *testing.T, ask func() error) (circuit string) {
	t.Helper()
	_, from := r.events(0)
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	r.until(t, patience, "a stream is attached", func() bool {
		log, _ := r.events(from)
		for _, e := range log {
			if a := e.GetStreamAttached(); a != nil && r.general(a.GetCircuitId()) {
				circuit = a.GetCircuitId()
			}
		}
		return circuit != ""
	})
	return circuit
}

func (r *reloadable) general(circuit string) bool {
	log, _ := r.events(0)
	for _, e := range log {
		if l := e.GetCircuitLaunched(); l != nil && e.GetActorId() == circuit {
			return l.GetPurpose() == chivev1.Purpose_PURPOSE_GENERAL
		}
		if e.GetCircuitSetLaunched() != nil && e.GetActorId() == circuit {
			return true
		}
	}
	return false
}
