package e2e

import (
	"encoding/json"
	"slices"
	"testing"

	"chive/actors/node"
	"chive/bridge"
	"chive/messages"
	"chive/messages/chivev1"
)

// identitiesOf asks the node as its operator, and gives those of the named users.
func identitiesOf(t *testing.T, client *bridge.Client, users ...string) map[string]node.Identity {
	t.Helper()
	question, err := json.Marshal(node.IdentitiesAsk{Users: users})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Request(t.Context(), messages.VerbIdentities, question)
	if err != nil {
		t.Fatal(err)
	}
	var a node.IdentitiesAnswer
	if err := json.Unmarshal(answer, &a); err != nil {
		t.Fatal(err)
	}
	out := map[string]node.Identity{}
	for _, v := range a.Identities {
		if v.User != "" {
			out[v.User] = v
		}
	}
	return out
}

// exit is where a circuit ends.
func (r *reloadable) exit(circuit string) string {
	log, _ := r.events(0)
	for _, e := range log {
		if l := e.GetCircuitLaunched(); l != nil && (e.GetActorId() == circuit || l.GetSetId() == circuit) {
			return string(l.GetPath()[len(l.GetPath())-1])
		}
	}
	return ""
}

// Identities are renewed by policy, use exits of their own, and their operator sees it;
// over relays of C tor.
func TestIdentities(t *testing.T) {
	n := network(t)
	base := []string{"SocksPort auto"}
	l := newLab(t, n, base...)
	client, err := bridge.Connect(t.Context(), l.dir+"/data")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	on := func(user string) string { return l.carrier(t, l.get(t, user)) }

	t.Run("IdentityMaxStreams", func(t *testing.T) {
		bob := on("bob")
		l.set(t, "IdentityMaxStreams 2")
		stays, err := l.reloadable.echo("alice", l.echo)
		if err != nil {
			t.Fatal(err)
		}
		defer stays.Close()
		first := on("alice")
		second, third, fourth := on("alice"), on("alice"), on("alice")
		if first == second || second != third || third == fourth {
			t.Errorf("circuits %q", []string{first, second, third, fourth})
		}
		if err := stays.roundTrip(1); err != nil {
			t.Errorf("a stream that was open: %v", err)
		}
		if on("bob") != bob {
			t.Error("another identity was renewed")
		}
		got := identitiesOf(t, client, "alice", "bob", "nobody")
		if len(got) != 2 || got["alice"].Streams != 1 || got["alice"].Renewals != 2 || got["alice"].Open < 1 || got["alice"].Circuits < 2 || got["bob"].Renewals != 0 {
			t.Errorf("%+v", got)
		}
		if log, _ := l.events(0); slices.ContainsFunc(log, func(e *chivev1.Envelope) bool {
			return e.GetCircuitsRenewed() != nil && e.GetCircuitsRenewed().GetGroup() == ""
		}) {
			t.Error("all were renewed")
		}
	})

	t.Run("IdentityDistinctExits", func(t *testing.T) {
		// There are few exits, and those of streams that are open are taken.
		l.until(t, patience, "streams have ended", func() bool { return l.streaming() == 0 })
		l.set(t, "IdentityDistinctExits 1")
		renew, err := json.Marshal(node.RenewAsk{All: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Request(t.Context(), messages.VerbRenew, renew); err != nil {
			t.Fatal(err)
		}
		exits := map[string]string{}
		for _, user := range []string{"dora", "erik"} {
			exit := l.exit(on(user))
			if exit == "" || exits[exit] != "" {
				t.Errorf("%s leaves where %q does", user, exits[exit])
			}
			exits[exit] = user
			if again := l.exit(on(user)); again != exit {
				t.Errorf("%s has two exits without a renewal", user)
			}
		}
	})
}
