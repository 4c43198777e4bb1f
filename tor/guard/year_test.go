package guard_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"chive/tor/guard"
	"chive/tor/netdoc"
	"chive/tor/path"
)

// A year of guard life: relays come, go and are down for a time, the network is
// away for so long that the consensus is not live any more, circuits open, fail and
// end, some of them at once; the user allows fewer relays for a time, and the process
// is killed now and then. The log satisfies guard-spec, and replayed it gives the
// same state.
func TestAYear(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { aYear(t, seed) })
	}
}

const yearRelays = 400

// year is a client's.
type year struct {
	*testing.T
	k           *checker
	rng         *rand.Rand
	set, replay *guard.Set
	seed        uint64
	log         []guard.Event
	now         time.Time
	listed, up  [yearRelays]bool
	away        int // hours that the network is away yet
	consensus   *path.Index
	share       int // of the relays that the user allows: one in so many
	circuits    int
	flying      []string // circuits of which it is not known yet whether they open
	opened      int
	used        map[netdoc.Digest]bool
	selections  map[string]int
	stale       int // hours with a consensus that was not live
}

// take holds what happened against the spec.
func (y *year) take() {
	y.Helper()
	for _, e := range y.set.Take() {
		y.k.see(e, y.now)
		y.log = append(y.log, e)
	}
	if len(y.k.bad) > 0 {
		y.Fatalf("%v: %q", y.now, y.k.bad)
	}
}

func (y *year) churn(hour int) {
	for range 3 {
		n := y.rng.IntN(yearRelays)
		switch y.rng.IntN(40) {
		case 0:
			y.listed[n] = !y.listed[n]
		case 1:
			y.up[n] = !y.up[n]
		}
	}
	if hour%24 == 0 { // most are there
		for i := range yearRelays {
			y.listed[i], y.up[i] = y.listed[i] || y.rng.IntN(25) == 0, y.up[i] || y.rng.IntN(3) == 0
		}
	}
	switch {
	case y.away > 0:
		y.away--
	case y.rng.IntN(400) == 0:
		y.away = 1 + y.rng.IntN(80)
	}
	if y.rng.IntN(50) == 0 { // somebody blocks those in use, or they are away
		for i := range yearRelays {
			y.up[i] = y.up[i] && !slices.Contains(y.k.primary, relayID(i))
		}
	}
	for i := range yearRelays {
		y.k.online[relayID(i)] = y.up[i] && y.away == 0
	}
	if y.rng.IntN(1000) == 0 {
		y.share = []int{1, 2, 8}[y.rng.IntN(3)]
	}
}

// update takes a new consensus, if there is a network to have it from.
func (y *year) update() {
	y.Helper()
	if y.away == 0 || y.consensus == nil {
		y.consensus = networkAt(y.now, yearRelays, func(n int) bool { return !y.listed[n] })
		clear(y.k.listed)
		for i := range yearRelays {
			if y.listed[i] {
				y.k.listed[relayID(i)] = true
			}
		}
	}
	share := y.share
	y.k.allowed = func(id netdoc.Digest) bool { return int(id[2])%share == 0 }
	y.set.SetFilter(func(r *path.Relay) bool { return y.k.allowed(r.Identity) }, "")
	y.k.live, y.k.most = y.consensus.Live(y.now), max(min(60, len(y.k.listed)/5), 20)
	if !y.k.live {
		y.stale++
	}
	y.set.Update(y.consensus, nil, y.now)
	y.take()
	y.k.updated(y.now)
	y.k.primaries(y.set.Primaries())
	y.take()
	y.selections[y.set.Selection()]++
}

// launch builds a circuit if one may be built.
func (y *year) launch() bool {
	y.Helper()
	got := y.set.Candidates(y.now, y.rng.IntN(4) == 0)
	y.take()
	y.k.chosen(got, y.now)
	if len(got) == 0 {
		return false
	}
	y.circuits++
	name := fmt.Sprint(y.circuits)
	state := y.set.Launched(name, got[0], y.now)
	y.k.flights[name] = flight{got[0], state, y.now}
	if (state == guard.OnCompletion) != slices.Contains(y.k.primary, got[0]) {
		y.k.complain("4.6: launched as %v", state)
	}
	y.flying = append(y.flying, name)
	y.take()
	return true
}

// land has a circuit open or fail; it says whether one may be used now.
func (y *year) land() (served bool) {
	y.Helper()
	i := y.rng.IntN(len(y.flying))
	name := y.flying[i]
	y.flying = slices.Delete(y.flying, i, i+1)
	f := y.k.flights[name]
	if !y.k.online[f.guard] {
		y.k.failures[f.guard]++
		y.set.Failed(f.guard, y.now)
		y.gone(name)
		return false
	}
	f.state, f.since = y.set.Opened(name, y.now), y.now
	y.k.flights[name] = f
	y.take()
	if f.state == guard.Complete {
		y.serve(name)
	}
	return y.settle() || f.state == guard.Complete
}

// settle has circuits be used that waited; it says whether there was one.
func (y *year) settle() bool {
	y.Helper()
	complete, tooLong := y.set.Settle(y.now)
	for _, done := range complete {
		y.k.completed(done, y.now)
		y.serve(done)
	}
	for _, late := range tooLong {
		if y.now.Sub(y.k.flights[late].since) <= 10*time.Minute {
			y.k.complain("4.9: closed before its time")
		}
		delete(y.k.flights, late)
	}
	y.take()
	return len(complete) > 0
}

func (y *year) serve(name string) {
	y.used[y.k.flights[name].guard] = true
	y.opened++
}

func (y *year) gone(name string) {
	y.Helper()
	y.set.Gone(name)
	delete(y.k.flights, name)
	y.take()
}

// work is an hour's: until something is served, which takes few tries if there is a network.
func (y *year) work() {
	y.Helper()
	served, most, end := false, 60, y.now.Add(59*time.Minute)
	if y.away > 0 {
		most = 10
	}
	for tries := 0; tries < most && (!served || y.rng.IntN(2) == 0); tries++ {
		if later := y.now.Add(time.Duration(y.rng.Int64N(int64(25 * time.Minute)))); later.Before(end) && y.rng.IntN(8) == 0 {
			y.now = later
		}
		launched := y.launch()
		for len(y.flying) > 0 && (!launched || len(y.flying) > 3 || y.rng.IntN(2) == 0) {
			served = y.land() || served
		}
		if !launched {
			y.now = y.now.Add(guard.RoundEvery)
			served = y.settle() || served
		}
		// Rule 0: what happens further out changes nothing.
	}
	for len(y.flying) > 0 {
		served = y.land() || served
	}
	for name := range y.k.flights {
		y.gone(name)
	}
	if !served && y.away == 0 {
		y.k.complain("no guard, and there was a network")
	}
	y.k.primaries(y.set.Primaries())
	y.take()
}

// kill has another process go on with what the events of this one have led to.
func (y *year) kill() {
	y.Helper()
	if err := y.replay.Replay(y.log); err != nil || !y.replay.Same(y.set) {
		y.Fatalf("%v: replayed, it is another state: %v", y.now, err)
	}
	if !slices.Equal(y.k.list, y.set.List()) {
		y.Fatalf("%v: the events do not lead to the list", y.now)
	}
	document, err := json.Marshal(map[string]any{"version": 1, "guards": y.k.list})
	if err != nil {
		y.Fatal(err)
	}
	list, err := guard.ParseList(document)
	if err != nil || !slices.Equal(list, y.set.List()) {
		y.Fatalf("%v: the state cannot be read: %v", y.now, err)
	}
	y.seed += 2
	y.set, y.replay, y.log = newSet(y.seed), newSet(y.seed+1), nil
	y.set.Load(list)
	y.replay.Load(list)
	y.k.restarted()
}

func aYear(t *testing.T, seed uint64) {
	y := &year{
		T: t, k: newChecker(), rng: rand.New(rand.NewPCG(seed, 7)), set: newSet(seed), replay: newSet(seed + 100), seed: 1000 * (seed + 1),
		share: 1, used: map[netdoc.Digest]bool{}, selections: map[string]int{},
	}
	for i := range yearRelays {
		y.listed[i], y.up[i] = true, true
	}
	kills := 0
	for hour := range 365 * 24 {
		y.now = start.Add(time.Duration(hour) * time.Hour)
		y.churn(hour)
		y.update()
		y.work()
		if y.rng.IntN(400) == 0 {
			y.kill()
			kills++
		}
	}
	y.kill()
	k := y.k
	if k.lives == 0 || y.opened == 0 || kills == 0 || y.stale == 0 || k.schedules == 0 || k.others == 0 || len(y.selections) != 2 {
		t.Error("something never happened")
	}
	t.Logf("%d circuits, %d of them used, %d through others than primary guards; %d guards used, %d ended their life; "+
		"%d scheduled retries, %d kills, %d hours without a live consensus, selections %v",
		y.circuits, y.opened, k.others, len(y.used), k.lives, k.schedules, kills, y.stale, y.selections)
}
