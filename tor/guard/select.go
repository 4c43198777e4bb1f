package guard

import (
	"slices"
	"time"

	"chive/tor/netdoc"
)

// Our own pace when nothing is left to try. The text has every guard tried again at
// once then; it is likelier that the network is down than all guards, so the
// primaries come again soon and the others, which would learn of this client,
// seldom.
const (
	RoundEvery     = 5 * time.Second
	fullRoundEvery = time.Minute
)

// Candidates lists the guards to build a circuit through now, best first; more
// than one only for networks where the first cannot be joined with any exit. It
// is empty while there is nothing to do but wait. Launched says which was taken.
// directory asks for one-hop circuits to a directory.
//
// While a primary guard may work these are primary (guard-spec §4.6): one of the
// first guard-n-primary-guards-to-use at random, and the others after it. Else it
// is the first guard after them through which no circuit is being built.
func (s *Set) Candidates(now time.Time, directory bool) []netdoc.Digest {
	s.retry(now)
	if out := s.usablePrimaries(directory); len(out) > 0 {
		return out
	}
	pending := false
	for again := range 2 {
		for _, g := range s.filtered() {
			if s.reach[g.Identity].state == No || slices.Contains(s.primaries, g.Identity) {
				continue
			}
			if s.has(g.Identity, Waiting) {
				return nil // it is the best that works; more of its circuits would wait too
			}
			if !s.pending(g.Identity) {
				return []netdoc.Digest{g.Identity}
			}
			pending = true
		}
		if again == 0 {
			before := len(s.list)
			if s.expand(now); len(s.list) == before {
				break
			}
		}
	}
	if !pending {
		s.exhaust(now)
	}
	return s.usablePrimaries(directory)
}

// Uses says whether Candidates may name a guard first, for a circuit to the network, while a
// primary one may work: so that what was built ahead through it is as good as what would be
// built now.
func (s *Set) Uses(id netdoc.Digest) bool {
	out := s.upPrimaries()
	return slices.Contains(out[:min(s.params.Use, len(out))], id)
}

func (s *Set) upPrimaries() (out []netdoc.Digest) {
	for _, id := range s.primaries {
		if s.reach[id].state != No {
			out = append(out, id)
		}
	}
	return out
}

func (s *Set) usablePrimaries(directory bool) []netdoc.Digest {
	out := s.upPrimaries()
	n := s.params.Use
	if directory {
		n = s.params.UseDirectory
	}
	n = min(n, len(out))
	s.rng.Shuffle(n, func(i, j int) { out[i], out[j] = out[j], out[i] })
	if !directory {
		slices.SortStableFunc(out[:n], func(a, b netdoc.Digest) int { return boolInt(!s.lacks(a)) - boolInt(!s.lacks(b)) })
	}
	return out
}

// lacks: is the guard's microdescriptor not here? Such a one is named first, and so nothing is
// built until it is here (guard-spec §4.12; C tor waits for those of all that are in use): else
// who serves microdescriptors chose among the guards.
func (s *Set) lacks(id netdoc.Digest) bool {
	r, ok := s.x.ByIdentity(id)
	return ok && !r.Usable()
}

// retry forgives guards whose retry time has come (guard-spec §4.5).
func (s *Set) retry(now time.Time) {
	if !s.someFailed() {
		return
	}
	for _, g := range s.filtered() {
		r := s.reach[g.Identity]
		if r.state == No && now.Sub(r.lastTry) >= retryAfter(now.Sub(r.failingSince), slices.Contains(s.primaries, g.Identity)) {
			s.emit(Event{Kind: Retriable, Guard: g.Identity, Reason: TimeCame})
		}
	}
}

func (s *Set) someFailed() bool {
	for _, r := range s.reach {
		if r.state == No {
			return true
		}
	}
	return false
}

// exhaust: every guard failed.
func (s *Set) exhaust(now time.Time) {
	if len(s.primaries) == 0 {
		return
	}
	if !s.exhausted {
		s.exhausted, s.round, s.fullRound = true, now, now
		return
	}
	if now.Sub(s.round) < RoundEvery {
		return
	}
	s.round = now
	s.forgive(AllDown, s.primaries)
	if now.Sub(s.fullRound) >= fullRoundEvery {
		s.fullRound = now
		s.forgive(AllDown, s.ids())
	}
}

func (s *Set) ids() []netdoc.Digest {
	var out []netdoc.Digest
	for _, g := range s.list {
		if g.Selection == s.selection {
			out = append(out, g.Identity)
		}
	}
	return out
}

// forgive makes those that failed worth a try again, at once.
func (s *Set) forgive(why Reason, ids []netdoc.Digest) (n int) {
	for _, id := range ids {
		if s.reach[id].state == No {
			s.emit(Event{Kind: Retriable, Guard: id, Reason: why})
			n++
		}
	}
	return n
}

// RetryNow has every guard tried again: the operator asks for it, or the way to
// the network is another one than when they failed. It says how many had failed.
func (s *Set) RetryNow(why Reason) int {
	s.exhausted = false
	return s.forgive(why, s.ids())
}

// Failed: the outgoing connection to a relay was tried and failed. Of a relay
// that is no guard nothing is kept.
func (s *Set) Failed(id netdoc.Digest, now time.Time) {
	if s.known(id) {
		s.emit(Event{Kind: Failed, Guard: id, At: now})
	}
}

// Connected: the outgoing connection to a relay was made, for what is no user's
// traffic: a guard is not confirmed by it.
func (s *Set) Connected(id netdoc.Digest, now time.Time) {
	if s.known(id) {
		s.reached(id, now, !slices.Contains(s.primaries, id))
	}
}

// reached: exploring says that it was no primary guard.
func (s *Set) reached(id netdoc.Digest, now time.Time, exploring bool) {
	if s.reach[id].state != Yes {
		s.emit(Event{Kind: Reached, Guard: id, At: now})
	}
	// What failed while nothing at all worked failed for the network's sake, so the
	// primaries come first again (guard-spec §4.8, and at once after an exhausted
	// sample).
	if s.exhausted || exploring && now.Sub(s.online) > s.params.LikelyDown {
		s.forgive(Back, s.primaries)
	}
	s.exhausted, s.online = false, now
}

// confirm has the guard be one of the confirmed ones (guard-spec §4.8).
func (s *Set) confirm(id netdoc.Digest, now time.Time) {
	at := s.list.index(s.selection, id)
	if at < 0 || !s.list[at].Confirmed.IsZero() {
		return
	}
	when := s.blur(now, s.params.confirmBlur())
	s.emit(Event{Kind: Confirmed, Guard: id, Selection: s.selection, At: when, Expires: when.Add(s.params.ConfirmedLife)})
	s.order()
}
