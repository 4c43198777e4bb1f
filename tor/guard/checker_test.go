package guard_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"chive/tor/guard"
	"chive/tor/netdoc"
)

const aDay = 24 * time.Hour

// place is a guard in a sample.
type place struct {
	selection string
	id        netdoc.Digest
}

func placeOf(e guard.Event) place { return place{e.Selection, e.Guard} }

// flight is a circuit through a guard.
type flight struct {
	guard netdoc.Digest
	state guard.CircuitState
	since time.Time
}

// checker holds an event log against the sentences of guard-spec. It knows the
// network, who was really asked, and nothing of the set but its events.
type checker struct {
	online   map[netdoc.Digest]bool // relays that can be reached
	failures map[netdoc.Digest]int  // connections of our own that failed, not yet blamed
	listed   map[netdoc.Digest]bool // guards of the consensus in use
	allowed  func(netdoc.Digest) bool
	live     bool // that consensus
	most     int  // guards that may be in a sample by it

	list      guard.List
	order     []place             // as sampled
	added     map[place]time.Time // when it really was
	confirmed map[place]time.Time
	selection string
	primary   []netdoc.Digest
	reach     map[netdoc.Digest]guard.Reachability
	failing   map[netdoc.Digest]time.Time // since when
	tried     map[netdoc.Digest]time.Time // last
	flights   map[string]flight

	lives, schedules, others int // ends of lives, scheduled retries, uses of others than primary ones
	bad                      []string
}

func newChecker() *checker {
	k := &checker{
		online: map[netdoc.Digest]bool{}, failures: map[netdoc.Digest]int{}, listed: map[netdoc.Digest]bool{},
		allowed: func(netdoc.Digest) bool { return true }, live: true, most: 60,
		added: map[place]time.Time{}, confirmed: map[place]time.Time{},
	}
	k.restarted()
	return k
}

// restarted: what no disk keeps is gone.
func (k *checker) restarted() {
	k.primary, k.selection = nil, guard.Default
	k.reach, k.flights = map[netdoc.Digest]guard.Reachability{}, map[string]flight{}
	k.failing, k.tried = map[netdoc.Digest]time.Time{}, map[netdoc.Digest]time.Time{}
}

func (k *checker) complain(format string, args ...any) {
	k.bad = append(k.bad, fmt.Sprintf(format, args...))
}

func (k *checker) see(e guard.Event, now time.Time) {
	before := slices.Clone(k.list)
	if err := k.list.Apply(e); err != nil {
		k.complain("%v", err)
		return
	}
	if e.Kept() && e.Kind != guard.Confirmed && !k.live {
		k.complain("4.1: kind %d by a consensus that is not live", e.Kind)
	}
	switch e.Kind {
	case guard.Sampled:
		k.sampled(e, now)
	case guard.Confirmed:
		k.confirmed[placeOf(e)] = now
		k.promote()
	case guard.Removed:
		k.removed(e, before, now)
	case guard.Selected:
		k.selection, k.primary = e.Selection, nil
	case guard.Tried:
		k.tried[e.Guard] = now
	case guard.Failed:
		if k.failures[e.Guard] == 0 {
			k.complain("rule 0: blamed without a failed connection of our own")
		}
		k.failures[e.Guard]--
		if _, ok := k.failing[e.Guard]; !ok {
			k.failing[e.Guard] = now
		}
		k.reach[e.Guard], k.tried[e.Guard] = guard.No, now
	case guard.Reached:
		if !k.online[e.Guard] {
			k.complain("reached, and it was down")
		}
		k.reach[e.Guard] = guard.Yes
		delete(k.failing, e.Guard)
	case guard.Retriable:
		k.retriable(e, now)
	}
	var order []place
	for _, g := range k.list {
		order = append(order, place{g.Selection, g.Identity})
	}
	if !slices.Equal(order, k.order) {
		k.complain("proposal 310: the order of sampling changed")
	}
}

func (k *checker) sampled(e guard.Event, now time.Time) {
	k.order = append(k.order, placeOf(e))
	k.added[placeOf(e)] = now
	size := 0
	for _, g := range k.list {
		if g.Selection == e.Selection {
			size++
		}
	}
	if size > k.most {
		k.complain("4.1: %d guards sampled, more than %d", size, k.most)
	}
	if e.At.After(now) || now.Sub(e.At) > 12*aDay+time.Second {
		k.complain("4.1: ADDED_ON_DATE %v at %v", e.At, now)
	}
	if !k.listed[e.Guard] || e.Selection != guard.Default && !k.allowed(e.Guard) {
		k.complain("4.1: sampled, and it is no guard, or none of what the filter allows")
	}
}

func (k *checker) removed(e guard.Event, before guard.List, now time.Time) {
	at := slices.IndexFunc(before, func(g guard.Guard) bool { return g.Identity == e.Guard && g.Selection == e.Selection })
	g := before[at]
	since, confirmed := k.confirmed[placeOf(e)]
	switch {
	case e.Reason == guard.GoneTooLong && (g.Unlisted.IsZero() || now.Sub(g.Unlisted) <= 20*aDay):
		k.complain("4.1: removed as unlisted, since %v at %v", g.Unlisted, now)
	case e.Reason == guard.Expired && confirmed:
		k.lives++
		if life := now.Sub(since); life < 48*aDay-time.Second {
			k.complain("a confirmed guard lived %v", life)
		}
	case e.Reason == guard.Expired:
		if life := now.Sub(k.added[placeOf(e)]); life < 108*aDay-time.Second {
			k.complain("a sampled guard lived %v", life)
		}
	case e.Reason != guard.GoneTooLong:
		k.complain("4.1: removed for %q", e.Reason)
	}
	k.order = slices.DeleteFunc(k.order, func(p place) bool { return p == placeOf(e) })
	delete(k.confirmed, placeOf(e))
	if !slices.ContainsFunc(k.list, func(g guard.Guard) bool { return g.Identity == e.Guard }) {
		delete(k.reach, e.Guard)
		delete(k.failing, e.Guard)
		delete(k.tried, e.Guard)
	}
}

// retryTimes are guard-spec appendix A.1's, by how long a guard has been failing.
var retryTimes = []struct{ until, primary, other time.Duration }{
	{6 * time.Hour, 10 * time.Minute, time.Hour},
	{4 * aDay, 90 * time.Minute, 4 * time.Hour},
	{7 * aDay, 4 * time.Hour, 18 * time.Hour},
	{1000 * aDay, 9 * time.Hour, 36 * time.Hour},
}

// due: has the time come to try a guard again that failed?
func (k *checker) due(id netdoc.Digest, now time.Time) bool {
	for _, row := range retryTimes {
		if now.Sub(k.failing[id]) >= row.until {
			continue
		}
		wait := row.other
		if slices.Contains(k.primary, id) {
			wait = row.primary
		}
		return now.Sub(k.tried[id]) >= wait
	}
	return true
}

func (k *checker) retriable(e guard.Event, now time.Time) {
	if k.reach[e.Guard] != guard.No {
		k.complain("forgiven what did not fail")
	}
	if e.Reason == guard.TimeCame {
		k.schedules++
		if !k.due(e.Guard, now) {
			k.complain("4.5: tried again before its time")
		}
	}
	k.reach[e.Guard] = guard.Maybe
}

// filtered is FILTERED_GUARDS, best first.
func (k *checker) filtered() (out []netdoc.Digest) {
	for _, confirmed := range []bool{true, false} {
		for _, g := range k.list {
			if g.Selection == k.selection && g.Unlisted.IsZero() && k.listed[g.Identity] && k.allowed(g.Identity) && g.Confirmed.IsZero() != confirmed {
				out = append(out, g.Identity)
			}
		}
	}
	return out
}

// promote computes PRIMARY_GUARDS: confirmed ones, those that were primary, others; they are
// used in the order of their sampling.
func (k *checker) promote() {
	var confirmed, kept, rest, out []netdoc.Digest
	for _, id := range k.filtered() {
		switch _, ok := k.confirmed[place{k.selection, id}]; {
		case ok:
			confirmed = append(confirmed, id)
		case slices.Contains(k.primary, id):
			kept = append(kept, id)
		default:
			rest = append(rest, id)
		}
	}
	all := slices.Concat(confirmed, kept, rest)
	all = all[:min(3, len(all))]
	for _, p := range k.order {
		if p.selection == k.selection && slices.Contains(all, p.id) {
			out = append(out, p.id)
		}
	}
	k.primary = out
}

// updated: a consensus was taken, and its events were seen.
func (k *checker) updated(now time.Time) {
	k.promote()
	usable, size, left := 0, 0, 0
	for _, id := range k.filtered() {
		if k.reach[id] != guard.No {
			usable++
		}
	}
	for _, g := range k.list {
		late := now.Sub(g.Sampled) > 120*aDay
		if !g.Confirmed.IsZero() {
			late = now.Sub(g.Confirmed) > 60*aDay
		}
		if k.live && (late || !g.Unlisted.IsZero() && now.Sub(g.Unlisted) > 20*aDay) {
			k.complain("4.1: kept beyond its life")
		}
		if k.live && g.Unlisted.IsZero() != k.listed[g.Identity] {
			k.complain("4.1: IS_LISTED does not tell what the consensus says")
		}
		if g.Selection == k.selection {
			size++
		}
	}
	for id := range k.listed {
		if usable < 20 && !slices.Contains(k.order, place{k.selection, id}) && (k.selection == guard.Default || k.allowed(id)) {
			left++
		}
	}
	if k.live && usable < 20 && size < k.most && left > 0 {
		k.complain("4.1: %d usable guards of %d sampled, and %d more might be", usable, size, left)
	}
}

func (k *checker) primaries(got []netdoc.Digest) {
	if !slices.Equal(got, k.primary) {
		k.complain("4.4: primaries %v, want %v", got, k.primary)
	}
}

func same(a, b []netdoc.Digest) bool {
	for _, id := range a {
		if !slices.Contains(b, id) {
			return false
		}
	}
	return len(a) == len(b)
}

// chosen holds against §4.6 what may be used now.
func (k *checker) chosen(got []netdoc.Digest, now time.Time) {
	var up []netdoc.Digest
	for _, id := range k.filtered() {
		if k.reach[id] == guard.No && k.due(id, now) {
			k.complain("4.5: not tried again, and its time has come")
		}
	}
	for _, id := range k.primary {
		if k.reach[id] != guard.No {
			up = append(up, id)
		}
	}
	if n := min(2, len(up)); n > 0 {
		if len(got) != len(up) || !same(got[:n], up[:n]) || !slices.Equal(got[n:], up[n:]) {
			k.complain("4.6: %v may be used, want %v, of which the first %d in any order", got, up, n)
		}
		return
	}
	var want []netdoc.Digest
	for _, id := range k.filtered() {
		if k.reach[id] == guard.No || slices.Contains(k.primary, id) {
			continue
		}
		if k.flies(id, guard.Waiting) {
			break
		}
		if k.reach[id] == guard.Yes || !k.flies(id, guard.IfNoBetter) {
			want = []netdoc.Digest{id}
			k.others++
			break
		}
	}
	if !slices.Equal(got, want) {
		k.complain("4.6: %v may be used, and no primary guard; want %v", got, want)
	}
}

func (k *checker) flies(id netdoc.Digest, state guard.CircuitState) bool {
	for _, f := range k.flights {
		if f.guard == id && f.state == state {
			return true
		}
	}
	return false
}

// completed holds against §4.9 that a circuit that waited may be used.
func (k *checker) completed(name string, now time.Time) {
	f := k.flights[name]
	if f.state != guard.Waiting {
		k.complain("4.9: complete, and it did not wait")
	}
	rank := func(id netdoc.Digest) int { return slices.Index(k.filtered(), id) }
	at := func(id netdoc.Digest) int { return slices.Index(k.order, place{k.selection, id}) }
	for _, id := range k.primary {
		if id != f.guard && at(id) < at(f.guard) && k.reach[id] != guard.No {
			k.complain("4.9: complete, and a primary guard before may work")
		}
	}
	for other, o := range k.flights {
		if other == name || rank(o.guard) < 0 || rank(o.guard) >= rank(f.guard) {
			continue
		}
		if o.state != guard.IfNoBetter || now.Sub(o.since) <= 15*time.Second {
			k.complain("4.9: complete, and there is one through a better guard, %v", o.state)
		}
	}
	f.state = guard.Complete
	k.flights[name] = f
}

// The checker bites: each of these logs breaks one sentence.
func TestCheckerComplains(t *testing.T) {
	a, b := relayID(1), relayID(2)
	sampled := func(id netdoc.Digest) guard.Event {
		return guard.Event{Kind: guard.Sampled, Guard: id, At: start, Expires: start.Add(120 * aDay)}
	}
	for name, tt := range map[string]struct {
		log  []guard.Event
		then func(*checker)
	}{
		"blamed for nothing":       {[]guard.Event{sampled(a), {Kind: guard.Failed, Guard: a, At: start}}, nil},
		"reached while down":       {[]guard.Event{sampled(a), {Kind: guard.Reached, Guard: a, At: start}}, nil},
		"forgiven for nothing":     {[]guard.Event{sampled(a), {Kind: guard.Retriable, Guard: a}}, nil},
		"sampled twice":            {[]guard.Event{sampled(a), sampled(a)}, nil},
		"sampled in the future":    {[]guard.Event{{Kind: guard.Sampled, Guard: a, At: start.Add(time.Hour)}}, nil},
		"no guard":                 {[]guard.Event{sampled(relayID(9))}, nil},
		"too many":                 {[]guard.Event{sampled(a), sampled(b), sampled(relayID(3))}, nil},
		"removed for nothing":      {[]guard.Event{sampled(a), {Kind: guard.Removed, Guard: a}}, nil},
		"removed as unlisted":      {[]guard.Event{sampled(a), {Kind: guard.Removed, Guard: a, Reason: guard.GoneTooLong}}, nil},
		"expired too early":        {[]guard.Event{sampled(a), {Kind: guard.Removed, Guard: a, Reason: guard.Expired}}, nil},
		"confirmed, expired early": {[]guard.Event{sampled(a), {Kind: guard.Confirmed, Guard: a, At: start}, {Kind: guard.Removed, Guard: a, Reason: guard.Expired}}, nil},
		"another order": {[]guard.Event{sampled(a), sampled(b)}, func(k *checker) {
			slices.Reverse(k.list)
			k.see(guard.Event{Kind: guard.Tried, Guard: a}, start)
		}},
		"not live": {[]guard.Event{sampled(a)}, func(k *checker) {
			k.live = false
			k.see(guard.Event{Kind: guard.Unlisted, Guard: a, At: start}, start)
		}},
		"tried again too early": {[]guard.Event{sampled(a)}, func(k *checker) {
			k.failures[a]++
			k.see(guard.Event{Kind: guard.Failed, Guard: a, At: start}, start)
			k.see(guard.Event{Kind: guard.Retriable, Guard: a, Reason: guard.TimeCame}, start.Add(time.Minute))
		}},
		"not tried again": {[]guard.Event{sampled(a)}, func(k *checker) {
			k.failures[a]++
			k.see(guard.Event{Kind: guard.Failed, Guard: a, At: start}, start)
			k.chosen(nil, start.Add(2*time.Hour))
		}},
		"a small sample": {[]guard.Event{sampled(a)}, func(k *checker) { k.updated(start) }},
		"beyond its life": {[]guard.Event{sampled(a), sampled(b)}, func(k *checker) {
			k.updated(start.Add(121 * aDay))
		}},
		"primaries out of order": {[]guard.Event{sampled(a), sampled(b)}, func(k *checker) {
			k.updated(start)
			k.primaries([]netdoc.Digest{b, a})
		}},
		"one that is not primary": {[]guard.Event{sampled(a), sampled(b)}, func(k *checker) {
			k.primary = []netdoc.Digest{a}
			k.chosen([]netdoc.Digest{b}, start)
		}},
		"two through one": {[]guard.Event{sampled(a)}, func(k *checker) {
			k.flights["x"] = flight{a, guard.IfNoBetter, start}
			k.chosen([]netdoc.Digest{a}, start)
		}},
		"complete too early": {[]guard.Event{sampled(a), sampled(b)}, func(k *checker) {
			k.primary = []netdoc.Digest{a}
			k.flights["x"] = flight{b, guard.Waiting, start}
			k.completed("x", start)
		}},
	} {
		k := newChecker()
		k.most = 2
		for n := range 4 {
			k.listed[relayID(n)] = true
		}
		for i, e := range tt.log {
			if tt.then != nil && len(k.bad) > 0 {
				t.Errorf("%s: event %d: %q", name, i, k.bad)
			}
			k.see(e, start)
		}
		if tt.then != nil {
			tt.then(k)
		}
		if len(k.bad) == 0 {
			t.Errorf("%s: no complaint", name)
		}
	}
}
