package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/pprof"
	"time"
)

// Kinds of profiles of a running node.
const (
	ProfileCPU   = "cpu"   // where time goes while it runs
	ProfileHeap  = "heap"  // what is in use, and what was allocated since the start
	ProfileMutex = "mutex" // what waits for locks while it runs
)

// MaxProfileTime is how long a profile may run.
const MaxProfileTime = time.Minute

// mutexFraction has one in so many waits for a lock recorded while a mutex profile runs.
const mutexFraction = 5

// maxProfile is what fits into one answer with room for the rest, in bytes.
const maxProfile = 700 << 10

// ProfileAsk is what the verb profile is asked with. Only the operator of the node can
// ask: what a node's functions do, and when, says what its users do.
type ProfileAsk struct {
	Kind    string `json:"kind"`              // cpu, heap or mutex
	Seconds int    `json:"seconds,omitempty"` // how long cpu and mutex run, at most 60
}

func (a ProfileAsk) check() error {
	switch a.Kind {
	case ProfileHeap:
		if a.Seconds != 0 {
			return errors.New("a heap profile is of one moment; leave out the seconds")
		}
	case ProfileCPU, ProfileMutex:
		if a.Seconds < 1 || time.Duration(a.Seconds)*time.Second > MaxProfileTime {
			return fmt.Errorf("%d seconds: want 1 to %d", a.Seconds, MaxProfileTime/time.Second)
		}
	default:
		return fmt.Errorf("%q: want cpu, heap or mutex", a.Kind)
	}
	return nil
}

// answerProfile answers the verb profile: a profile as go tool pprof reads it.
func (n *Node) answerProfile(request []byte) ([]byte, error) {
	var ask ProfileAsk
	if err := json.Unmarshal(request, &ask); err != nil {
		return nil, fmt.Errorf("the question: %w", err)
	}
	if err := ask.check(); err != nil {
		return nil, err
	}
	n.o.Log.Info("a profile is being taken", "kind", ask.Kind, "seconds", ask.Seconds)
	var out bytes.Buffer
	if err := takeProfile(&out, ask.Kind, time.Duration(ask.Seconds)*time.Second, n.ending); err != nil {
		return nil, err
	}
	if out.Len() > maxProfile {
		return nil, fmt.Errorf("the profile has %d bytes, more than fit into an answer; take a shorter one", out.Len())
	}
	return out.Bytes(), nil
}

// takeProfile writes a profile of what happens for a time, shorter if the node ends.
func takeProfile(out io.Writer, kind string, length time.Duration, ending <-chan struct{}) error {
	switch kind {
	case ProfileCPU:
		if err := pprof.StartCPUProfile(out); err != nil {
			return fmt.Errorf("the profile: %w", err)
		}
		pass(length, ending)
		pprof.StopCPUProfile()
		return nil
	case ProfileMutex:
		before := runtime.SetMutexProfileFraction(mutexFraction)
		pass(length, ending)
		runtime.SetMutexProfileFraction(before)
	case ProfileHeap:
		runtime.GC() // the runtime's numbers are those of the last collection
	}
	return pprof.Lookup(kind).WriteTo(out, 0)
}

func pass(length time.Duration, ending <-chan struct{}) {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ending:
	}
}
