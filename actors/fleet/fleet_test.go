package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chive/internal/leak"
	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/durationpb"

	"chive/actors/kernel"
	"chive/messages"
	"chive/messages/chivev1"
)

func TestMain(m *testing.M) { leak.Main(m) }

// world is what a member is in: the configuration, the fleet, and the network, of
// which only the test knows whether circuits can be built.
type world struct {
	t        *testing.T
	system   *actor.ActorSystem
	pid      *actor.PID
	folder   string
	recorder *messages.Recorder
	gauge    *Gauge

	mu       sync.Mutex // protects the fields below
	lines    []messages.ConfigLine
	revision uint64
	refuse   string                            // why the configuration takes nothing
	slow     chan struct{}                     // nil: it answers at once
	network  func(n int) (time.Duration, bool) // build n: how long it takes, and whether it succeeds
	tries    int
	acks     []messages.FleetAck
	beats    int
	events   []*chivev1.Envelope
}

func (w *world) ProposeConfig(ctx context.Context, p messages.ConfigProposal) (messages.ConfigResult, error) {
	w.mu.Lock()
	slow := w.slow
	w.mu.Unlock()
	if slow != nil {
		select {
		case <-slow:
		case <-ctx.Done():
			return messages.ConfigResult{}, ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != "" {
		return messages.ConfigResult{Reason: w.refuse}, nil
	}
	if p.Source != messages.ConfigFromFleet || !p.Replace || p.FleetUndo && p.FleetRevision != w.revision || !p.FleetUndo && p.FleetRevision < w.revision {
		return messages.ConfigResult{Reason: fmt.Sprintf("not a proposal to make: %+v", p)}, nil
	}
	w.lines, w.revision = p.Lines, p.FleetRevision
	return messages.ConfigResult{Applied: true, Changes: []messages.ConfigChange{{Option: "PidFile", Effect: "restart"}}}, nil
}

func (w *world) FleetLines() ([]messages.ConfigLine, uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lines, w.revision
}

func (w *world) Acknowledge(a messages.FleetAck) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acks = append(w.acks, a)
}

func (w *world) Beat(messages.FleetMember) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.beats++
}

// try builds a circuit the way the network of the test does.
func (w *world) try() {
	w.mu.Lock()
	w.tries++
	n, network := w.tries, w.network
	w.mu.Unlock()
	if network == nil {
		return
	}
	took, ok := network(n)
	id := fmt.Sprintf("c%d", n)
	w.recorder.Emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, id, &chivev1.CircuitLaunched{Purpose: chivev1.Purpose_PURPOSE_GENERAL}))
	if ok {
		w.recorder.Emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, id, &chivev1.CircuitOpened{Took: durationpb.New(took)}))
	} else {
		w.recorder.Emit(messages.Event(chivev1.Kind_KIND_CIRCUIT, id, &chivev1.CircuitFailed{Outcome: chivev1.Outcome_OUTCOME_TIMEOUT}))
	}
}

// in runs a test in virtual time, with a member.
func in(t *testing.T, f func(w *world)) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, folder: folder, network: func(int) (time.Duration, bool) { return time.Second, true }}
		w.start()
		f(w)
		w.stop()
	})
}

func (w *world) start() {
	w.system = kernel.NewSystem(nil)
	w.recorder = messages.NewRecorder("n1", time.Now, 1<<16)
	w.gauge = NewGauge()
	w.recorder.Observe(w.gauge.See)
	w.recorder.Observe(func(e *chivev1.Envelope) { w.mu.Lock(); defer w.mu.Unlock(); w.events = append(w.events, e) })
	w.pid = w.system.Root.Spawn(Props(Options{
		Node: "n1", Folder: w.folder, Port: w, Config: w, Gauge: w.gauge, Try: w.try,
		Member:   func() messages.FleetMember { return messages.FleetMember{Node: "n1", Config: 7} },
		Recorder: w.recorder, Log: slog.New(slog.DiscardHandler), Now: time.Now, Every: 5 * time.Second,
	}))
	synctest.Wait()
}

func (w *world) stop() {
	if err := kernel.StopAndWait(w.system, w.pid, time.Minute); err != nil {
		w.t.Error(err)
	}
	kernel.Shutdown(w.system)
	synctest.Wait()
}

// again ends the node and starts it.
func (w *world) again() {
	w.stop()
	w.mu.Lock()
	w.slow = nil
	w.mu.Unlock()
	w.start()
}

// publish has the member see a document; change makes it what it is.
func (w *world) publish(number, revision uint64, change func(*messages.FleetPublication)) {
	p := messages.FleetPublication{Number: number, Author: "U", Digest: fmt.Sprint("digest of ", revision), Document: messages.FleetDocument{
		Fleet: "f", Revision: revision, Lines: []messages.ConfigLine{{Name: "MaxCircuitDirtiness", Value: fmt.Sprint(revision, " minutes")}},
	}}
	if change != nil {
		change(&p)
	}
	w.system.Root.Send(w.pid, &Publication{p})
	synctest.Wait()
}

func trial(t messages.FleetTrial) func(*messages.FleetPublication) {
	return func(p *messages.FleetPublication) { p.Document.Trial = &t }
}

// said is the acknowledgements so far, as "publication state".
func (w *world) said() (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.acks {
		out = append(out, fmt.Sprint(a.Publication, " ", a.State))
	}
	return out
}

func (w *world) last() messages.FleetAck {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acks[len(w.acks)-1]
}

// force is the value that is in force; "" for none.
func (w *world) force() string {
	lines, _ := w.FleetLines()
	if len(lines) == 0 {
		return ""
	}
	return lines[0].Value
}

func (w *world) want(said, force string) {
	w.t.Helper()
	if got := strings.Join(w.said(), ", "); got != said {
		w.t.Errorf("said %s, want %s", got, said)
	}
	if got := w.force(); got != force {
		w.t.Errorf("in force: %q, want %q", got, force)
	}
}

func TestAppliedAtOnceWithoutTrial(t *testing.T) {
	in(t, func(w *world) {
		w.publish(1, 1, nil)
		w.publish(2, 2, nil)
		w.want("1 applied, 2 applied", "2 minutes")
		if a := w.last(); a.Config != 7 || a.Revision != 2 || !slices.Equal(a.Waiting, []string{"PidFile"}) {
			t.Errorf("%+v", a)
		}
		w.again()
		w.publish(2, 2, nil) // it is in the bucket still
		w.want("1 applied, 2 applied, 2 applied", "2 minutes")
	})
}

func TestRefused(t *testing.T) {
	in(t, func(w *world) {
		w.publish(1, 5, nil)
		w.publish(2, 4, nil)
		w.publish(3, 5, func(p *messages.FleetPublication) { p.Digest = "another" })
		w.publish(4, 0, func(p *messages.FleetPublication) {
			p.Err = errors.New("not signed")
			p.Document = messages.FleetDocument{}
		})
		w.mu.Lock()
		w.refuse = "torrc:3: SocksPort 127.0.0.1:9050 is secret\nMaxCircuitDirtiness \"6 minutes\": too long\n"
		w.mu.Unlock()
		w.publish(5, 6, nil)
		w.want("1 applied, 2 rejected, 3 rejected, 4 rejected, 5 rejected", "5 minutes")
		if a := w.last(); strings.Contains(a.Reason, "secret") || !strings.Contains(a.Reason, "too long") {
			t.Errorf("told %q", a.Reason)
		}
		w.mu.Lock()
		w.refuse = "secret"
		w.mu.Unlock()
		w.publish(6, 7, nil)
		if a := w.last(); strings.Contains(a.Reason, "secret") || !strings.Contains(a.Reason, "the node's log") {
			t.Errorf("told %q", a.Reason)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if n := len(w.events); n != 3 || w.events[0].GetConfigRejected().GetStage() != "believe" {
			t.Errorf("%d events: %v", n, w.events)
		}
	})
}

func TestOtherNodesFirst(t *testing.T) {
	in(t, func(w *world) {
		w.publish(1, 1, func(p *messages.FleetPublication) { p.Document.Nodes = []string{"n2"} })
		w.publish(2, 2, func(p *messages.FleetPublication) { p.Document.Nodes = []string{"n2", "n1"} })
		w.want("1 waiting, 2 applied", "2 minutes")
	})
}

func TestTrial(t *testing.T) {
	for name, c := range map[string]struct {
		trial   messages.FleetTrial
		network func(int) (time.Duration, bool)
		want    messages.FleetState
		reason  string
		after   time.Duration // when it is decided at the latest
	}{
		"all goes well": {
			messages.FleetTrial{Seconds: 10, Circuits: 4, Success: 1, BuildTime: 2},
			func(int) (time.Duration, bool) { return time.Second, true }, messages.FleetApplied, "", 11 * time.Second,
		},
		"some fail": {
			messages.FleetTrial{Seconds: 10, Circuits: 4, Success: 0.5},
			func(n int) (time.Duration, bool) { return time.Second, n%2 == 0 }, messages.FleetApplied, "", 11 * time.Second,
		},
		"too many fail": {
			messages.FleetTrial{Seconds: 60, Circuits: 4, Success: 0.8},
			func(n int) (time.Duration, bool) { return time.Second, n%2 == 0 }, messages.FleetReverted, "50 % of 4 circuits were built, not 80 %", 2 * time.Second,
		},
		"too slow": {
			messages.FleetTrial{Seconds: 10, Circuits: 4, BuildTime: 0.5},
			func(int) (time.Duration, bool) { return time.Second, true }, messages.FleetReverted, "took 1.00 s", 11 * time.Second,
		},
		"nothing can be built": {
			messages.FleetTrial{Seconds: 10, Circuits: 4}, nil, messages.FleetReverted, "0 circuits were built or failed in 10 s, not the 4", 11 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				w.publish(1, 1, nil)
				w.network = c.network
				w.publish(2, 2, trial(c.trial))
				if c.want == messages.FleetApplied || c.after > 3*time.Second {
					w.want("1 applied, 2 trying", "2 minutes")
				}
				time.Sleep(c.after) // virtual
				synctest.Wait()
				force := "2 minutes"
				if c.want == messages.FleetReverted {
					force = "1 minutes"
				}
				w.want("1 applied, 2 trying, 2 "+string(c.want), force)
				if a := w.last(); !strings.Contains(a.Reason, c.reason) || c.network != nil && a.Builds != 4 {
					t.Errorf("%+v", a)
				}
				w.again() // what was decided stays decided
				w.publish(2, 2, trial(c.trial))
				time.Sleep(time.Minute)
				synctest.Wait()
				if a := w.last(); a.State != c.want || w.force() != force {
					t.Errorf("started again: %+v, %q in force", a, w.force())
				}
			})
		})
	}
}

// A node that ends during a trial goes back when it starts.
func TestNodeEndsDuringTrial(t *testing.T) {
	in(t, func(w *world) {
		w.publish(1, 1, nil)
		w.publish(2, 2, trial(messages.FleetTrial{Seconds: 600, Circuits: 1}))
		w.want("1 applied, 2 trying", "2 minutes")
		w.again()
		w.want("1 applied, 2 trying", "1 minutes")
		w.publish(2, 2, trial(messages.FleetTrial{Seconds: 600, Circuits: 1}))
		w.want("1 applied, 2 trying, 2 reverted", "1 minutes")
		w.publish(3, 3, nil)
		w.want("1 applied, 2 trying, 2 reverted, 3 applied", "3 minutes")
	})
}

// Whoever publishes and is not heard of again has changed nothing for good.
func TestNobodyConfirms(t *testing.T) {
	in(t, func(w *world) {
		w.publish(1, 1, nil)
		w.publish(2, 2, trial(messages.FleetTrial{Seconds: 5, Circuits: 1, ConfirmFor: 60}))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		w.want("1 applied, 2 trying, 2 trying", "2 minutes")
		if w.last().Builds == 0 {
			t.Error("the node does not tell how the trial went")
		}
		w.again() // it waits on
		w.publish(2, 2, nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		w.want("1 applied, 2 trying, 2 trying, 2 trying, 2 reverted", "1 minutes")
		if a := w.last(); !strings.Contains(a.Reason, "nobody has confirmed") {
			t.Errorf("%+v", a)
		}
	})
}

func TestConfirmed(t *testing.T) {
	for name, change := range map[string]func(*messages.FleetPublication){
		"for all":         nil,
		"for other nodes": func(p *messages.FleetPublication) { p.Document.Nodes = []string{"n2"} },
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				w.publish(2, 2, trial(messages.FleetTrial{Seconds: 5, Circuits: 1, ConfirmFor: 60}))
				time.Sleep(10 * time.Second)
				w.publish(3, 3, change)
				time.Sleep(time.Hour)
				synctest.Wait()
				if w.force() == "" {
					t.Errorf("went back: %v", w.said())
				}
			})
		})
	}
}

// A revision that comes during a trial goes back to what was good before it.
func TestTrialAfterTrial(t *testing.T) {
	in(t, func(w *world) {
		w.publish(1, 1, nil)
		w.publish(2, 2, trial(messages.FleetTrial{Seconds: 60, Circuits: 1}))
		w.network = func(int) (time.Duration, bool) { return 0, false }
		w.publish(3, 3, trial(messages.FleetTrial{Seconds: 60, Circuits: 3, Success: 1}))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		w.want("1 applied, 2 trying, 3 trying, 3 reverted", "1 minutes")
	})
}

// A refused revision leaves the trial under way as it is.
func TestRefusedDuringTrial(t *testing.T) {
	in(t, func(w *world) {
		w.publish(1, 1, nil)
		w.publish(2, 2, trial(messages.FleetTrial{Seconds: 60, Circuits: 1}))
		w.mu.Lock()
		w.refuse = "no"
		w.mu.Unlock()
		w.publish(3, 3, nil)
		w.mu.Lock()
		w.refuse = ""
		w.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		w.want("1 applied, 2 trying, 3 rejected, 2 applied", "2 minutes")
	})
}

// While a change is under way, of those that come the last one counts.
func TestPublicationsWhileBusy(t *testing.T) {
	in(t, func(w *world) {
		slow := make(chan struct{})
		w.mu.Lock()
		w.slow = slow
		w.mu.Unlock()
		for n := range uint64(4) {
			w.publish(n+1, n+1, nil)
		}
		close(slow)
		synctest.Wait()
		w.want("1 applied, 4 applied", "4 minutes")
	})
}

func TestSignsOfLife(t *testing.T) {
	in(t, func(w *world) {
		time.Sleep(time.Minute)
		synctest.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.beats != 13 {
			t.Errorf("%d in a minute", w.beats)
		}
	})
}

// A state that cannot be read or written is a warning.
func TestStateFile(t *testing.T) {
	dir := t.TempDir()
	if s, err := load(dir); err != nil || s.Revision != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := (standing{Revision: 3, State: messages.FleetTrying, Before: []messages.ConfigLine{{Name: "A", Value: "b"}}}).save(dir); err != nil {
		t.Fatal(err)
	}
	if s, err := load(dir); err != nil || s.Revision != 3 || s.State != messages.FleetTrying || len(s.Before) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	for _, text := range []string{"{", strings.Repeat(" ", maxState+1)} {
		if err := os.WriteFile(filepath.Join(dir, stateFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := load(dir); err == nil || s.Revision != 0 {
			t.Errorf("%+v, %v", s, err)
		}
	}
	if err := (standing{}).save(filepath.Join(dir, "none")); err == nil {
		t.Error("written to nowhere")
	}
}

func TestGaugeCountsWhatTheNetworkDid(t *testing.T) {
	g := NewGauge()
	general := &chivev1.CircuitLaunched{Purpose: chivev1.Purpose_PURPOSE_GENERAL}
	see(g, "old", general)
	g.begin()
	see(g, "new", general)
	see(g, "directory", &chivev1.CircuitLaunched{Purpose: chivev1.Purpose_PURPOSE_DIRECTORY})
	see(g, "ended", general)
	see(g, "failed", general)
	see(g, "old", &chivev1.CircuitFailed{Outcome: chivev1.Outcome_OUTCOME_TIMEOUT})
	see(g, "directory", &chivev1.CircuitOpened{})
	see(g, "ended", &chivev1.CircuitFailed{Outcome: chivev1.Outcome_OUTCOME_SHUTDOWN})
	see(g, "failed", &chivev1.CircuitFailed{Outcome: chivev1.Outcome_OUTCOME_DESTROYED})
	see(g, "new", &chivev1.CircuitOpened{Took: durationpb.New(time.Second)})
	if h := g.health(); h.builds != 2 || h.success != 0.5 || h.median != time.Second {
		t.Errorf("%+v", h)
	}
	if built, failed := g.Totals(); built != 1 || failed != 2 {
		t.Errorf("%d built, %d failed", built, failed)
	}
	g.end()
	if h := g.health(); h.builds != 0 {
		t.Errorf("%+v without a trial", h)
	}
}

func see[B messages.Body](g *Gauge, id string, body B) {
	g.See(messages.Event(chivev1.Kind_KIND_CIRCUIT, id, body))
}
