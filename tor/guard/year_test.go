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
)

const aDay = 24 * time.Hour

// checker holds an event log against the sentences of guard-spec. It knows the
// network, who was really asked, and nothing of the set but its events.
type checker struct {
	list      guard.List
	online    map[netdoc.Digest]bool      // relays that can be reached
	failures  map[netdoc.Digest]int       // connections of our own that failed, not yet blamed
	confirmed map[netdoc.Digest]time.Time // when it really was
	added     map[netdoc.Digest]time.Time
	down      map[netdoc.Digest]bool
	maxSample int
	lives     int
	bad       []string
}

func (k *checker) complain(format string, args ...any) {
	k.bad = append(k.bad, fmt.Sprintf(format, args...))
}

func (k *checker) see(e guard.Event, now time.Time) {
	before := slices.Clone(k.list)
	if err := k.list.Apply(e); err != nil {
		k.complain("%v", err)
	}
	order := func(l guard.List) (out []netdoc.Digest) {
		for _, g := range l {
			if !g.Confirmed.IsZero() {
				out = append(out, g.Identity)
			}
		}
		return out
	}
	was, is := order(before), order(k.list)
	switch e.Kind {
	case guard.Sampled:
		k.added[e.Guard] = now
		if len(k.list) > k.maxSample {
			k.complain("4.1: %d guards sampled, more than %d", len(k.list), k.maxSample)
		}
		if e.At.After(now) || now.Sub(e.At) > 12*aDay+time.Second {
			k.complain("4.1: ADDED_ON_DATE %v at %v", e.At, now)
		}
	case guard.Confirmed:
		k.confirmed[e.Guard] = now
		if !slices.Equal(is, append(was, e.Guard)) {
			k.complain("4.3: a confirmed guard is not appended")
		}
	case guard.Failed:
		if k.failures[e.Guard] == 0 {
			k.complain("rule 0: blamed without a failed connection of our own")
		}
		k.failures[e.Guard]--
		k.down[e.Guard] = true
	case guard.Reached:
		if !k.online[e.Guard] {
			k.complain("reached, and it was down")
		}
		k.down[e.Guard] = false
	case guard.Retriable:
		if !k.down[e.Guard] {
			k.complain("forgiven what did not fail")
		}
		k.down[e.Guard] = false
	case guard.Removed:
		k.removed(e, before, now)
		if want := slices.DeleteFunc(was, func(id netdoc.Digest) bool { return id == e.Guard }); !slices.Equal(is, want) {
			k.complain("4.3: the order of the confirmed changed")
		}
	}
	if e.Kind != guard.Confirmed && e.Kind != guard.Removed && !slices.Equal(was, is) {
		k.complain("4.3: the order of the confirmed changed")
	}
}

func (k *checker) removed(e guard.Event, before guard.List, now time.Time) {
	at := slices.IndexFunc(before, func(g guard.Guard) bool { return g.Identity == e.Guard })
	g := before[at]
	since, confirmed := k.confirmed[e.Guard]
	switch {
	case e.Reason == guard.GoneTooLong && (g.Unlisted.IsZero() || now.Sub(g.Unlisted) <= 20*aDay):
		k.complain("4.1: removed as unlisted, since %v at %v", g.Unlisted, now)
	case e.Reason == guard.Expired && confirmed:
		k.lives++
		if life := now.Sub(since); life < 48*aDay-time.Second || life > 60*aDay+time.Hour {
			k.complain("a confirmed guard lived %v", life)
		}
	case e.Reason == guard.Expired:
		if life := now.Sub(k.added[e.Guard]); life < 108*aDay-time.Second || life > 120*aDay+time.Hour {
			k.complain("a sampled guard lived %v", life)
		}
	case e.Reason != guard.GoneTooLong:
		k.complain("4.1: removed for %q", e.Reason)
	}
	delete(k.confirmed, e.Guard)
	delete(k.down, e.Guard)
}

// primaries are a prefix of confirmed, then of the others, each in order but that
// unconfirmed ones that were primary stay before later ones.
func (k *checker) primaries(got, before []netdoc.Digest) {
	var want []netdoc.Digest
	var rest, kept []netdoc.Digest
	for _, g := range k.list {
		switch {
		case !g.Unlisted.IsZero():
		case !g.Confirmed.IsZero():
			want = append(want, g.Identity)
		case slices.Contains(before, g.Identity):
			kept = append(kept, g.Identity)
		default:
			rest = append(rest, g.Identity)
		}
	}
	want = slices.Concat(want, kept, rest)
	want = want[:min(3, len(want))]
	if !slices.Equal(got, want) {
		k.complain("4.4: primaries %v, want %v", got, want)
	}
}

func newChecker() *checker {
	return &checker{
		online: map[netdoc.Digest]bool{}, failures: map[netdoc.Digest]int{}, confirmed: map[netdoc.Digest]time.Time{},
		added: map[netdoc.Digest]time.Time{}, down: map[netdoc.Digest]bool{}, maxSample: 60,
	}
}

// The checker bites: each of these logs breaks one sentence.
func TestCheckerComplains(t *testing.T) {
	a, b := relayID(1), relayID(2)
	sampled := func(id netdoc.Digest) guard.Event {
		return guard.Event{Kind: guard.Sampled, Guard: id, At: start, Expires: start.Add(120 * aDay)}
	}
	for name, log := range map[string][]guard.Event{
		"blamed for nothing":       {sampled(a), {Kind: guard.Failed, Guard: a, At: start}},
		"reached while down":       {sampled(a), {Kind: guard.Reached, Guard: a, At: start}},
		"forgiven for nothing":     {sampled(a), {Kind: guard.Retriable, Guard: a}},
		"sampled twice":            {sampled(a), sampled(a)},
		"sampled in the future":    {{Kind: guard.Sampled, Guard: a, At: start.Add(time.Hour)}},
		"too many":                 {sampled(a), sampled(b), sampled(relayID(3))},
		"removed for nothing":      {sampled(a), {Kind: guard.Removed, Guard: a}},
		"removed as unlisted":      {sampled(a), {Kind: guard.Removed, Guard: a, Reason: guard.GoneTooLong}},
		"expired too early":        {sampled(a), {Kind: guard.Removed, Guard: a, Reason: guard.Expired}},
		"confirmed, expired early": {sampled(a), {Kind: guard.Confirmed, Guard: a, At: start}, {Kind: guard.Removed, Guard: a, Reason: guard.Expired}},
	} {
		k := newChecker()
		k.maxSample = 2
		for _, e := range log {
			k.see(e, start)
		}
		if len(k.bad) == 0 {
			t.Errorf("%s: no complaint", name)
		}
	}
	k := newChecker()
	k.see(sampled(a), start)
	k.see(sampled(b), start)
	if k.primaries([]netdoc.Digest{b, a}, nil); len(k.bad) == 0 {
		t.Error("primaries out of order: no complaint")
	}
}

// A year of guard life: relays come, go and are down for a time, the network is
// away, circuits open, fail and end; the log satisfies guard-spec, and replayed
// it gives the same state.
func TestAYear(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { aYear(t, seed) })
	}
}

func aYear(t *testing.T, seed uint64) {
	const relays, step = 400, time.Hour
	rng := rand.New(rand.NewPCG(seed, 7))
	s, replay := newSet(seed), newSet(seed+100)
	k := newChecker()
	listed, up := make([]bool, relays), make([]bool, relays)
	for i := range relays {
		listed[i], up[i] = true, true
	}
	away := 0 // hours that the network is away yet
	var before []netdoc.Digest
	var log []guard.Event
	now := start
	take := func() {
		for _, e := range s.Take() {
			k.see(e, now)
			log = append(log, e)
		}
	}
	circuits, used, opened := 0, map[netdoc.Digest]bool{}, 0
	for hour := range 365 * 24 {
		now = start.Add(time.Duration(hour) * step)
		for range 3 { // churn
			n := rng.IntN(relays)
			switch rng.IntN(40) {
			case 0:
				listed[n] = !listed[n]
			case 1:
				up[n] = !up[n]
			}
		}
		if hour%24 == 0 { // most are there
			for i := range relays {
				listed[i], up[i] = listed[i] || rng.IntN(25) == 0, up[i] || rng.IntN(3) == 0
			}
		}
		if away > 0 {
			away--
		} else if rng.IntN(300) == 0 {
			away = 1 + rng.IntN(30)
		}
		for i := range relays {
			k.online[relayID(i)] = up[i] && away == 0
		}
		guards := 0
		for i := range relays {
			if listed[i] {
				guards++
			}
		}
		k.maxSample = max(min(60, guards/5), 20, k.maxSample-1)
		sampled := len(k.list)
		s.Update(network(relays, func(n int) bool { return !listed[n] }), nil, now)
		take()
		k.primaries(s.Primaries(), before)
		if len(k.list) < min(sampled, 1) {
			k.complain("the sample is gone")
		}
		served := away > 0
		var open []string
		for range 40 { // attempts of this hour
			got := s.Candidates(now, rng.IntN(4) == 0)
			take()
			if len(got) == 0 {
				now = now.Add(guard.RoundEvery)
				continue
			}
			circuits++
			name := fmt.Sprint(circuits)
			s.Launched(name, got[0], now)
			if k.online[got[0]] {
				state := s.Opened(name, now)
				take()
				complete, _ := s.Settle(now)
				if state == guard.Complete || slices.Contains(complete, name) {
					served = true
					used[got[0]] = true
					opened++
				}
				open = append(open, name)
			} else {
				k.failures[got[0]]++
				s.Failed(got[0], now)
				s.Gone(name)
			}
			take()
			// Rule 0: what happens further out changes nothing.
			if served && rng.IntN(2) == 0 {
				break
			}
		}
		for _, name := range open {
			s.Gone(name)
		}
		before = s.Primaries()
		if hour%100 == 0 { // killed now, it starts with what its events have led to
			document, err := json.Marshal(map[string]any{"version": 1, "guards": k.list})
			if err != nil {
				t.Fatal(err)
			}
			if list, err := guard.ParseList(document); err != nil || !slices.Equal(list, s.List()) {
				k.complain("hour %d: the state cannot be read: %v", hour, err)
			}
		}
		if !served {
			k.complain("hour %d: no guard, and there was a network", hour)
		}
		if len(k.bad) > 0 {
			t.Fatalf("hour %d: %q", hour, k.bad)
		}
	}
	if !slices.Equal(k.list, s.List()) {
		t.Error("the events do not lead to the list")
	}
	if err := replay.Replay(log); err != nil || !replay.Same(s) {
		t.Errorf("replayed, it is another state: %v", err)
	}
	if k.lives == 0 || opened == 0 {
		t.Errorf("nothing happened: %d lives, %d circuits", k.lives, opened)
	}
	t.Logf("%d events, %d circuits, %d guards used, %d ended their life", len(log), circuits, len(used), k.lives)
}
