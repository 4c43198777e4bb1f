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
}

func (r *reloadable) view() view {
	log, _ := r.events(0)
	v := view{cleanTo: map[string]int{}, on: map[string]int{}, connected: map[string]bool{}}
	general, open, dirty, over := map[string]string{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	at, exit := map[string]string{}, map[string]string{}
	for _, e := range log {
		id := e.GetActorId()
		switch ev := e.GetEvent().(type) {
		case *chivev1.Envelope_ConnectionOpened:
			v.connected[id] = true
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
		}
	}
	return v
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
	r.until(t, 10*time.Second, "a stream is attached", func() bool {
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
