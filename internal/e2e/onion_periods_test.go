package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chive/internal/testnet"
	"chive/messages/chivev1"
	"chive/tor/netdoc"
	"chive/tor/onion"
)

const (
	shortestVote = 10 * time.Second // that C tor's authorities do: a period is 24 of them
	visitEvery   = 8 * time.Second
	visitAfter   = 30 * time.Second // the last change, at least
)

// clockwork is what a client's consensuses said of periods and shared random values.
type clockwork struct {
	periods, values map[string]time.Time // when each was seen first
	last            time.Time            // change
}

// look reads the consensus that a client has.
func (k *clockwork) look(t *testing.T, c *client) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, "data", "cached-microdesc-consensus"))
	if err != nil {
		t.Fatal(err)
	}
	consensus, err := netdoc.ParseConsensus(text)
	if err != nil {
		t.Fatal(err)
	}
	n := onion.NewNetwork(consensus, true)
	if n.Current == nil || n.Previous == nil {
		t.Fatal("a consensus without shared random values")
	}
	k.saw(t, "time period", k.periods, fmt.Sprint(n.Period(n.ValidAfter).Number))
	k.saw(t, "shared random value", k.values, fmt.Sprintf("%x", n.Current[:4]))
}

func (k *clockwork) saw(t *testing.T, what string, known map[string]time.Time, name string) {
	if _, old := known[name]; old {
		return
	}
	known[name] = time.Now()
	if len(known) > 1 {
		k.last = known[name]
		t.Logf("a new %s: %s", what, name)
	}
}

// changes is how many there were.
func (k *clockwork) changes() int { return len(k.periods) + len(k.values) - 2 }

// changesWanted is how many changes of the network's periods and shared random values a test sees.
func changesWanted(t *testing.T) int {
	text := os.Getenv("CHIVE_ONION_CHANGES")
	if text == "" {
		t.Skip("CHIVE_ONION_CHANGES says how many changes of the time period and the shared random value are seen, by turns, each within two minutes")
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("CHIVE_ONION_CHANGES %q: want a number from 1", text)
	}
	return n
}

// TestOnionPeriods: chive and C tor visit what either hosts, for authorised clients and for all,
// chive with full vanguards, before, while and after the network goes from one time period to the
// next and from one shared random value to the next. Neither takes less than two minutes, with the
// shortest votes that C tor's authorities do.
func TestOnionPeriods(t *testing.T) {
	want := changesWanted(t)
	t.Parallel()
	l := startPairsLab(t, testnet.Options{Relays: 10, VotingInterval: shortestVote, SharedRandom: true}, "VanguardsFull 1")
	dir := l.keys(t)
	own := start(t, l.Network, "ClientOnionAuthDir "+dir, "VanguardsFull 1")
	visitors := map[string]*client{"chive": own, "C tor": ctor(t, l.Network, "visitor", "ClientOnionAuthDir "+dir)}

	k := &clockwork{periods: map[string]time.Time{}, values: map[string]time.Time{}}
	tick := time.NewTicker(visitEvery)
	defer tick.Stop()
	began, rounds := time.Now(), 0
	var again atomic.Int64
	most := time.Duration(want+1)*12*shortestVote + 3*time.Minute // each change is within 12 votes
	for k.look(t, own); k.changes() < want || time.Since(k.last) < visitAfter; k.look(t, own) {
		if time.Since(began) > most {
			t.Fatalf("%d changes in %v", k.changes(), most)
		}
		rounds++
		l.visits(t, visitors, rounds, &again)
		<-tick.C
	}
	t.Logf("%d changes in %v; %d rounds of 8 visits, %d of which took a second request", k.changes(), time.Since(began).Round(time.Second), rounds, again.Load())
	if want > 1 && (len(k.periods) < 2 || len(k.values) < 2) {
		t.Errorf("periods %v, values %v", k.periods, k.values)
	}
	fetched := own.count(func(e *chivev1.Envelope) bool {
		return e.GetServiceDescriptorFetched().GetOutcome() == chivev1.Outcome_OUTCOME_OK
	})
	t.Logf("chive fetched %d descriptors", fetched)
	if services := len(l.private) + len(l.guarded); fetched < services*len(k.periods) {
		t.Errorf("%d descriptors of %d services in %d periods", fetched, services, len(k.periods))
	}
}

// visits has each visitor fetch a page from each service, as somebody who was not there before.
// Who got nothing soon asks again, as a user does: in a network so small a relay is asked now and
// then, by C tor's clients, to extend to where the circuit came from, which it refuses.
func (l *pairsLab) visits(t *testing.T, visitors map[string]*client, round int, again *atomic.Int64) {
	const patience, most = 20 * time.Second, 90 * time.Second
	var wg sync.WaitGroup
	for name, c := range visitors {
		for kind, services := range map[string]map[string]string{"private": l.private, "open": l.guarded} {
			for host, address := range services {
				wg.Go(func() {
					began := time.Now()
					for try := 1; ; try++ {
						ctx, cancel := context.WithTimeout(t.Context(), patience)
						_, _, err := c.get(ctx, fmt.Sprint("user", round, " ", try), bytesOf(address, 10_000))
						cancel()
						took := time.Since(began).Round(100 * time.Millisecond)
						if err == nil {
							return
						}
						t.Logf("round %d: %s at %s, %s: not after %v: %v", round, name, host, kind, took, err)
						if again.Add(1); took > most {
							t.Errorf("round %d: %s cannot visit %s, %s", round, name, host, kind)
							return
						}
					}
				})
			}
		}
	}
	wg.Wait()
}
