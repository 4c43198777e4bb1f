package circuits

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"chive/actors/circuit"
	"chive/actors/stream"
	"chive/tor/isolation"
	"chive/tor/netdoc"
)

// as is a stream of a user, with a password of theirs.
func as(user, password string) *stream.Spec {
	m := isolation.Make(&[32]byte{})
	m.Token = values(1)
	m.Set(isolation.SOCKSAuth, true, user, password)
	return &stream.Spec{Isolation: m.Token, Identities: []string{user, user + " " + password}}
}

// An identity that is too old, or had its streams, is renewed by itself, and no other.
func TestIdentityTerms(t *testing.T) {
	for name, tt := range map[string]struct {
		set  Settings
		wait time.Duration // before each stream
		want []bool        // on the circuit of the stream before
	}{
		"no limit": {Settings{}, time.Minute, []bool{true, true, true, true}},
		"streams":  {Settings{IdentityMaxStreams: 2}, 0, []bool{true, false, true, false}},
		"age":      {Settings{IdentityMaxAge: 3 * time.Minute}, time.Minute, []bool{true, true, false, true}},
	} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, 20, func(d *desk) {
				d.o.Settings = tt.set
				d.o.Settings.Dirtiness = time.Hour
				bob := d.ask(as("bob", "x"))
				last := d.ask(as("alice", "x"))
				var got []bool
				for range tt.want {
					d.now = d.now.Add(tt.wait)
					r := d.ask(as("alice", "x"))
					got = append(got, r == last)
					last = r
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("%v, want %v", got, tt.want)
				}
				if d.now.Sub(time.Unix(1_000_000, 0)) < 3*time.Minute && d.ask(as("bob", "x")) != bob {
					t.Error("another identity was renewed")
				}
			})
		})
	}
}

// The operator's renewal begins a new term, of all passwords of a user.
func TestRenewalBeginsTerms(t *testing.T) {
	atDesk(t, 20, func(d *desk) {
		d.o.Settings.IdentityMaxStreams = 2
		x, y := d.ask(as("alice", "x")), d.ask(as("alice", "y"))
		if n := d.renew(d.ctx, "alice"); n != 2 {
			t.Fatalf("%d circuits", n)
		}
		x2, y2 := d.ask(as("alice", "x")), d.ask(as("alice", "y"))
		if x2 == x || y2 == y {
			t.Error("a renewed identity is on its old circuit")
		}
		if d.ask(as("alice", "x")) != x2 {
			t.Error("streams from before the renewal count")
		}
		if d.renew(d.ctx, "alice x") != 1 || d.ask(as("alice", "y")) != y2 {
			t.Error("the renewal of one password is of another")
		}
	})
}

func TestDistinctExits(t *testing.T) {
	atDesk(t, 4, func(d *desk) {
		d.o.Settings.IdentityDistinctExits = true
		twin := *d.all[1] // another circuit to the exit of the first
		twin.id, twin.exit, twin.launched = "twin", d.all[0].exit, d.all[0].launched.Add(1)
		d.records[twin.id], d.places.clean[&twin] = &twin, struct{}{}
		d.all = append(d.all, &twin)

		alice := as("alice", "x")
		one := d.ask(alice)
		two := d.ask(as("bob", "x"))
		if one != d.all[0] || two == nil || two.exit == one.exit {
			t.Fatal("two identities leave at one exit")
		}
		if got := d.avoided(&waiting{Request: &Request{Spec: as("carol", "x")}}); len(got) != 2 {
			t.Errorf("%d exits are avoided, want those of two identities", len(got))
		}
		if d.avoided(&waiting{Request: &Request{Spec: &stream.Spec{}}}) != nil {
			t.Error("nobody's stream avoids an exit")
		}
		d.renew(d.ctx, "alice")
		if again := d.ask(as("alice", "x")); again != &twin {
			t.Error("an identity may not leave at its own exit")
		}
		for i := range 2 {
			if r := d.ask(as(fmt.Sprint(i), "x")); r == nil || r.exit == one.exit || r.exit == two.exit {
				t.Fatal("an exit that is free is not used, or one that is not is")
			}
		}
		if d.ask(as("one too many", "x")) != nil || len(d.queue) != 1 {
			t.Fatal("an identity shares another's exit")
		}
		if got := d.list(); len(got) != 5 || got[4].Waiting+got[3].Waiting+got[2].Waiting+got[1].Waiting+got[0].Waiting != 1 {
			t.Errorf("%+v", got)
		}
		d.gone(d.ctx, &circuit.Gone{ID: two.id, WasOpen: true})
		if len(d.identities.exits[two.exit.Identity]) != 0 {
			t.Error("the exit of a circuit that is gone is somebody's")
		}
	})
}

// What is told of identities, and that they are forgotten when nothing is left of them.
func TestListsIdentities(t *testing.T) {
	atDesk(t, 5, func(d *desk) {
		first := as("alice", "x")
		one := d.ask(first)
		d.now = d.now.Add(time.Second)
		d.ask(as("bob", ""))
		d.renew(d.ctx, "alice x")
		d.ask(as("alice", "x"))
		want := []Identity{
			{ID: "bob ", Group: "bob", Since: d.now, Streams: 1, Open: 1, Circuits: 1, Usable: 1, Exits: 1},
			{ID: "alice x", Group: "alice", Since: d.now, Streams: 1, Open: 2, Circuits: 2, Usable: 1, Exits: 2, Renewals: 1},
		}
		slices.SortFunc(want, func(a, b Identity) int { return map[bool]int{true: -1, false: 1}[a.ID < b.ID] })
		if got := d.list(); !slices.Equal(got, want) {
			t.Errorf("%+v\nwant %+v", got, want)
		}
		d.leave(first) // the last on a circuit that takes no more
		if got := d.list(); got[0].Circuits+got[1].Circuits != 2 {
			t.Errorf("a circuit that is going counts: %+v", got)
		}
		for _, r := range d.all {
			d.circuits.forget(r)
		}
		d.identities.swept = time.Time{}
		d.sweep(d.now)
		if left := d.list(); len(left) != 0 || len(d.identities.on) != 0 || len(d.identities.exits) != 0 {
			t.Errorf("left: %+v, on %d, exits %d", left, len(d.identities.on), len(d.identities.exits))
		}
		if d.identities.others(one.exit.Identity, "") || d.identities.others(netdoc.Digest{}, "alice x") {
			t.Error("an exit is somebody's of whom nothing is left")
		}
	})
}
