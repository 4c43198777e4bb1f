package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"chive/internal/testnet"
	"chive/messages/chivev1"
)

const (
	faultsALab    = 25               // private networks with so many each are side by side
	roundEvery    = 11 * time.Second // C tor forgets a descriptor once in ten seconds
	visitPatience = 30 * time.Second // of a visitor
	settled       = 2                // rounds of visits that succeed, one after the other: it is over
	faultMost     = 6 * time.Minute  // until then
	outageGoal    = 3 * time.Minute  // repaired, for nine of ten
	detectGoal    = time.Minute
)

// campaignLab is a private network with one service of chive, in a process and on a disk of its
// own, and two visitors of C tor.
type campaignLab struct {
	*testnet.Network
	t        *testing.T
	rng      *rand.Rand
	dir      string
	wire     *wire // between the node and the fleet's NATS server
	host     *child
	address  string
	visitors []*testnet.TorClient
	chive    string // the program
}

// trial is what became of one fault.
type trial struct {
	fault    string
	visits   int
	failed   int           // of them
	detected time.Duration // until the node told; 0: it did not
	repaired time.Duration // until visitors were let in again; 0: they always were
	causes   []string
	why      error // what chive onion why does not say
	lasted   bool  // it was not over in time
}

func (r trial) String() string {
	return fmt.Sprintf("%-26s detected %6.1fs  repaired %6.1fs  visits %d, in vain %d  %s", r.fault, r.detected.Seconds(), r.repaired.Seconds(),
		r.visits, r.failed, strings.Join(r.causes, " "))
}

// TestFaultCampaign: CHIVE_FAULTS faults befall services that chive hosts. Each is found and
// repaired, and the node says why. With clients of C tor that know nothing of it from before.
// CHIVE_FAULT has faults of one kind alone: those whose names begin so.
func TestFaultCampaign(t *testing.T) {
	count, err := strconv.Atoi(os.Getenv("CHIVE_FAULTS"))
	if err != nil || count < 1 {
		t.Skip("CHIVE_FAULTS says how many faults there are to be; make soak has a hundred")
	}
	kinds := slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return !strings.HasPrefix(f.name, os.Getenv("CHIVE_FAULT")) })
	if len(kinds) == 0 {
		t.Fatalf("CHIVE_FAULT: no fault's name begins with %q", os.Getenv("CHIVE_FAULT"))
	}
	chive, built := building(t, t.TempDir())
	built()
	labs := (count + faultsALab - 1) / faultsALab
	results := make(chan trial, count)
	t.Run("labs", func(t *testing.T) {
		for i := range labs {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				l := startCampaignLab(t, chive, uint64(i))
				for k := i; k < count; k += labs {
					r := l.try(t, kinds[(k/labs+3*i)%len(kinds)])
					t.Log(r)
					results <- r
				}
				l.host.end()
			})
		}
	})
	close(results)
	judge(t, results)
}

// judge holds all trials against the goals.
func judge(t *testing.T, results <-chan trial) {
	var detected, repaired []time.Duration
	for r := range results {
		t.Log(r)
		if r.lasted {
			t.Logf("%s: not over in %v", r.fault, faultMost) // the goal is for nine of ten
		}
		if r.why != nil {
			t.Errorf("%s: %v", r.fault, r.why)
		}
		repaired = append(repaired, r.repaired)
		if r.failed > 0 {
			if r.detected == 0 {
				r.detected = r.repaired // it was over before it was told
			}
			detected = append(detected, r.detected)
		}
	}
	at := func(all []time.Duration, p int) time.Duration {
		if len(all) == 0 {
			return 0
		}
		slices.Sort(all)
		return all[(len(all)-1)*p/100]
	}
	t.Logf("%d faults, %d seen from outside; detected p50 %v, p90 %v, most %v; repaired p50 %v, p90 %v, most %v", len(repaired), len(detected),
		at(detected, 50), at(detected, 90), at(detected, 100), at(repaired, 50), at(repaired, 90), at(repaired, 100))
	if d := at(detected, 100); d > detectGoal {
		t.Errorf("an outage was noticed after %v", d)
	}
	if d := at(repaired, 90); d > outageGoal {
		t.Errorf("repaired after %v", d)
	}
}

func startCampaignLab(t *testing.T, chive string, i uint64) *campaignLab {
	t.Helper()
	interval := time.Hour
	if i%2 == 1 {
		interval = time.Minute // relays that died leave the consensus, and periods change
	}
	n, err := testnet.Start(t.Context(), testnet.Options{Onions: -1, Relays: 9, Guards: 6, VotingInterval: interval})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	l := &campaignLab{Network: n, t: t, chive: chive, rng: rand.New(rand.NewPCG(i, uint64(os.Getpid())))}
	if l.dir, err = smallDisk(t, "64m"); err != nil {
		t.Skipf("no small file system: %v", err)
	}
	h := startHubs(t, 1, "256MB")
	l.wire = startWire(t, strings.TrimPrefix(h.urls[0], "nats://"))
	h.urls[0] = "nats://" + l.wire.listener.Addr().String()
	service := filepath.Join(l.dir, "service")
	lines := append(append(n.ClientTorrc(), h.torrc(0)...), "HiddenServiceDir "+service,
		fmt.Sprintf("HiddenServicePort 80 %v:%d", n.Target().IP, n.Target().HTTPPort))
	l.host = startChild(t, l.dir, lines...)
	t.Cleanup(func() {
		l.host.kill()
		if t.Failed() {
			l.host.tells(t, 400)
			t.Log(l.host.said.String())
		}
	})
	l.host.eventually(t, "the service is verified", 2*time.Minute, func() bool { return l.verified(time.Time{}) })
	l.address = addressOf(t, service)
	for k := range 2 {
		// Without guards of its own a visitor does not suffer from what the service's guard does.
		v, err := n.StartClient(t.Context(), fmt.Sprint("visitor", k), "UseEntryGuards 0")
		if err != nil {
			t.Fatal(err)
		}
		l.visitors = append(l.visitors, v)
	}
	return l
}

// verified: has the node seen since then that the service can be reached?
func (l *campaignLab) verified(since time.Time) bool {
	return l.host.count(func(e *chivev1.Envelope) bool {
		return e.GetTime().AsTime().After(since) && (e.GetHostingVerified() != nil || e.GetHostingHealed() != nil ||
			e.GetHostingProbed() != nil && e.GetHostingProbed().GetOutcome() == chivev1.Outcome_OUTCOME_OK)
	}) > 0
}

// try lets one fault happen, and watches until it is over.
func (l *campaignLab) try(t *testing.T, f fault) trial {
	r := trial{fault: f.name}
	mark := l.host.count(func(*chivev1.Envelope) bool { return true })
	host := l.host
	began := time.Now()
	undo := f.begin(l, t)
	if l.host != host {
		mark = 0 // another process, with a log of its own
	}
	good := 0
	for good < settled || time.Since(began) < f.least {
		if time.Since(began) > faultMost {
			r.lasted = true
			if good == 0 {
				r.repaired = faultMost // at least
			}
			l.host.tells(t, 400)
			break
		}
		round := time.Now()
		r.visits++
		if l.visit(t) {
			if good++; good == 1 && r.failed > 0 {
				r.repaired = time.Since(began)
			}
		} else {
			r.failed++
			good = 0
		}
		wait(t, roundEvery-time.Since(round))
	}
	r.detected = l.detected(mark, began)
	r.causes = l.causes(mark)
	r.why = l.why(t, f, r, began)
	undo()
	l.host.eventually(t, "the service is verified again", 3*time.Minute, func() bool { return l.host.standing() })
	return r
}

// detected is how long after the fault the node first told of trouble with the service.
func (l *campaignLab) detected(mark int, began time.Time) time.Duration {
	l.host.mu.Lock()
	defer l.host.mu.Unlock()
	for _, e := range l.host.log[mark:] {
		p := e.GetHostingProbed()
		if e.GetHostingBroken() != nil || e.GetHostingUnverified() != nil || e.GetHostingPointDown() != nil || e.GetHostingHealing() != nil ||
			e.GetHostingUnpublished() != nil || e.GetHostingStarted() != nil || p != nil && p.GetOutcome() != chivev1.Outcome_OUTCOME_OK {
			// The node's clock may be another.
			return max(time.Millisecond, l.sinceOf(e, began))
		}
	}
	return 0
}

// sinceOf is how long after the beginning an event was, by this process' clock: the child's may
// have been moved.
func (l *campaignLab) sinceOf(e *chivev1.Envelope, began time.Time) time.Duration {
	return e.GetTime().AsTime().Add(-l.host.ahead).Sub(began)
}

// causes are those that the node named since the mark, each once.
func (l *campaignLab) causes(mark int) (out []string) {
	l.host.mu.Lock()
	defer l.host.mu.Unlock()
	for _, e := range l.host.log[mark:] {
		for _, c := range []chivev1.HealthCause{e.GetHostingBroken().GetCause(), e.GetHostingUnverified().GetCause(), e.GetHostingHealed().GetCause(), e.GetHostingProbed().GetCause()} {
			name := strings.ToLower(strings.TrimPrefix(c.String(), "HEALTH_CAUSE_"))
			if c != 0 && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// standing: is the last verdict that the service is up?
func (c *child) standing() (up bool) {
	c.count(func(e *chivev1.Envelope) bool {
		switch {
		case e.GetHostingVerified() != nil, e.GetHostingHealed() != nil:
			up = true
		case e.GetHostingUnverified() != nil, e.GetHostingBroken() != nil, e.GetHostingStarted() != nil:
			up = false
		}
		return false
	})
	return up
}

// visit: both visitors go there anew; one at least gets in.
func (l *campaignLab) visit(t *testing.T) bool {
	var wg sync.WaitGroup
	got := make([]bool, len(l.visitors))
	for i, v := range l.visitors {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), visitPatience)
			defer cancel()
			if err := v.NewIdentity(ctx); err != nil {
				t.Log(err)
			}
			got[i] = knocked(ctx, v.SocksAddr, "visitor", l.address)
		})
	}
	wg.Wait()
	return slices.Contains(got, true)
}
