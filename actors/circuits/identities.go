package circuits

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/stream"
	"chive/tor/netdoc"
)

// An identity is who asks, by user name and password: the last of a stream's
// Identities. Its term is from its first stream to its renewal, by the operator or by
// itself when it is older than IdentityMaxAge or had IdentityMaxStreams: then its next
// stream begins another term, on other circuits. How soon those are built is for the rate
// of new circuits to say, which is everybody's.
//
// With IdentityDistinctExits an exit is an identity's while a circuit is there that
// carried one of its streams and ends at that exit; no other identity's streams go there.

// term is of one identity.
type term struct {
	group    string    // the token of the user name alone
	since    time.Time // its first stream
	streams  int       // since then
	renewals int
}

// use is a circuit's by an identity or a user name's.
type use struct {
	identity bool
	open     int // streams
}

type identities struct {
	terms map[string]*term
	on    map[string]map[*record]struct{}  // the circuits that carried an identity, or a user name's
	exits map[netdoc.Digest]map[string]int // whose an exit is, and for how many circuits
	swept time.Time
}

func newIdentities() identities {
	return identities{
		terms: map[string]*term{}, on: map[string]map[*record]struct{}{}, exits: map[netdoc.Digest]map[string]int{},
	}
}

// sweepEvery is how often identities are forgotten of which nothing is left.
const sweepEvery = 30 * time.Second

// identityOf is the stream's identity; "" if it has none.
func identityOf(spec *stream.Spec) string {
	if len(spec.Identities) == 0 {
		return ""
	}
	return spec.Identities[len(spec.Identities)-1]
}

// comes counts a new stream of its identity's, in a new term if the last one is over.
func (c *circuits) comes(ctx actor.Context, spec *stream.Spec) {
	id := identityOf(spec)
	if id == "" {
		return
	}
	t := c.identities.terms[id]
	if t == nil {
		t = &term{group: spec.Identities[0]}
		c.identities.terms[id] = t
	}
	now, s := c.o.Now(), &c.o.Settings
	if t.streams > 0 && (s.IdentityMaxAge > 0 && now.Sub(t.since) >= s.IdentityMaxAge || s.IdentityMaxStreams > 0 && t.streams >= s.IdentityMaxStreams) {
		c.renewed(ctx, id)
	}
	if t.streams == 0 {
		t.since = now
	}
	t.streams++
}

// carries notes whose stream goes on a circuit.
func (i *identities) carries(r *record, spec *stream.Spec) {
	id := identityOf(spec)
	if id == "" {
		return
	}
	for _, token := range spec.Identities {
		if u := r.users[token]; u != nil {
			u.open++
			continue
		}
		if r.users == nil {
			r.users = map[string]*use{}
		}
		r.users[token] = &use{identity: token == id, open: 1}
		if i.on[token] == nil {
			i.on[token] = map[*record]struct{}{}
		}
		i.on[token][r] = struct{}{}
		if token == id && r.exit != nil {
			if i.exits[r.exit.Identity] == nil {
				i.exits[r.exit.Identity] = map[string]int{}
			}
			i.exits[r.exit.Identity][id]++
		}
	}
}

// leaves notes that a stream is on no circuit any more.
func (r *record) leaves(spec *stream.Spec) {
	for _, token := range spec.Identities {
		if u := r.users[token]; u != nil {
			u.open--
		}
	}
}

// forget notes that a circuit is gone, or going without a stream on it.
func (i *identities) forget(r *record) {
	for token, u := range r.users {
		if delete(i.on[token], r); len(i.on[token]) == 0 {
			delete(i.on, token)
		}
		if !u.identity || r.exit == nil {
			continue
		}
		of := i.exits[r.exit.Identity]
		if of[token]--; of[token] == 0 {
			delete(of, token)
		}
		if len(of) == 0 {
			delete(i.exits, r.exit.Identity)
		}
	}
	r.users = nil
}

// others: is the exit an identity's other than this one?
func (i *identities) others(exit netdoc.Digest, id string) bool {
	of := i.exits[exit]
	return len(of) > 1 || len(of) == 1 && of[id] == 0
}

// mayExit: no other identity's streams leave the network there, if that counts.
func (c *circuits) mayExit(exit netdoc.Digest, spec *stream.Spec) bool {
	id := identityOf(spec)
	return id == "" || !c.o.Settings.IdentityDistinctExits || !c.identities.others(exit, id)
}

// avoided are the exits that a circuit launched for a request is not to have: those that
// refused it, and those that are other identities', or will be when what is being built
// for them is there.
func (c *circuits) avoided(w *waiting) []netdoc.Digest {
	id := identityOf(w.Spec)
	if id == "" || !c.o.Settings.IdentityDistinctExits {
		return w.Spec.Avoid
	}
	out := slices.Clone(w.Spec.Avoid)
	for exit := range c.identities.exits {
		if c.identities.others(exit, id) {
			out = append(out, exit)
		}
	}
	for _, other := range c.queue {
		if r := c.records[other.on]; r != nil && r.exit != nil && identityOf(other.Spec) != "" && identityOf(other.Spec) != id {
			out = append(out, r.exit.Identity)
		}
	}
	return out
}

// alive says whether anything is left of an identity or a user name's.
func (c *circuits) alive() func(token string) bool {
	waits := map[string]bool{}
	for _, w := range c.queue {
		for _, token := range w.Spec.Identities {
			waits[token] = true
		}
	}
	return func(token string) bool { return waits[token] || len(c.identities.on[token]) > 0 }
}

// sweep forgets identities of which nothing is left: they begin anew when they come again.
func (c *circuits) sweep(now time.Time) {
	if now.Sub(c.identities.swept) < sweepEvery {
		return
	}
	c.identities.swept = now
	alive := c.alive()
	maps.DeleteFunc(c.identities.terms, func(id string, _ *term) bool { return !alive(id) })
}

// Identity is what the operator may see of one.
type Identity struct {
	ID, Group string    // tokens: of user name and password, and of the user name alone
	Since     time.Time // the first stream of the term; zero: there was none yet
	Streams   int       // asked for since then
	Open      int       // on circuits now, of this term or earlier ones
	Waiting   int       // for a circuit
	Circuits  int       // that carried it and are there
	Usable    int       // of those, that take new streams
	Exits     int       // different ones of those circuits
	Renewals  int
}

// list gives the identities by age.
func (c *circuits) list() []Identity {
	waiting := map[string]int{}
	for _, w := range c.queue {
		waiting[identityOf(w.Spec)]++
	}
	out := make([]Identity, 0, len(c.identities.terms))
	for id, t := range c.identities.terms {
		v := Identity{
			ID: id, Group: t.group, Since: t.since, Streams: t.streams, Waiting: waiting[id],
			Circuits: len(c.identities.on[id]), Renewals: t.renewals,
		}
		exits := map[netdoc.Digest]bool{}
		for r := range c.identities.on[id] {
			if r.exit != nil {
				exits[r.exit.Identity] = true
			}
			v.Open += r.users[id].open
			if !r.tired && r.open && c.fresh(r) {
				v.Usable++
			}
		}
		v.Exits = len(exits)
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b Identity) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	return out
}
