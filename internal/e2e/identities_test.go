package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

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

// tunnel is curl by HTTP CONNECT, as somebody who has the password that get gives.
func (l *lab) tunnel(t *testing.T, at, user string) func() error {
	return func() error {
		out, err := exec.CommandContext(t.Context(), "curl", "-sS", "--max-time", "150",
			"--proxytunnel", "--proxy", "http://"+at, "--proxy-user", user+":x", l.http).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %.200q", err, out)
		}
		return nil
	}
}

// Identities are renewed by policy and by their operator, use exits of their own, and he sees
// it, whether they come by SOCKS or HTTP; over relays of C tor.
func TestIdentities(t *testing.T) {
	n := network(t)
	web := freePort(t)
	l := newLab(t, n, "SocksPort auto", "HTTPTunnelPort "+web)
	if l.socks == web {
		l.socks = l.listening("127.0.0.1:")
	}
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

	t.Run("HTTP", func(t *testing.T) { identityOfHTTP(t, l, client, web) })
	t.Run("IdentityMaxAge", func(t *testing.T) { identityAge(t, l, web) })
	t.Run("IdentityDistinctExits", func(t *testing.T) {
		// There are few exits, and those of streams that are open are taken.
		l.until(t, patience, "streams have ended", func() bool { return l.streaming() == 0 })
		l.set(t, "IdentityDistinctExits 1")
		renewed(t, client, node.RenewAsk{All: true})
		exits := map[string]string{}
		for user, ask := range map[string]func() error{"dora": l.get(t, "dora"), "erik": l.tunnel(t, web, "erik")} {
			exit := l.exit(l.carrier(t, ask))
			if exit == "" || exits[exit] != "" {
				t.Errorf("%s leaves where %q does", user, exits[exit])
			}
			exits[exit] = user
			if again := l.exit(l.carrier(t, ask)); again != exit {
				t.Errorf("%s has two exits without a renewal", user)
			}
		}
	})
}

// renewed asks as the operator, and gives how many circuits take no new streams.
func renewed(t *testing.T, client *bridge.Client, ask node.RenewAsk) int {
	t.Helper()
	question, err := json.Marshal(ask)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Request(t.Context(), messages.VerbRenew, question)
	if err != nil {
		t.Fatal(err)
	}
	var a node.RenewAnswer
	if err := json.Unmarshal(answer, &a); err != nil {
		t.Fatal(err)
	}
	return a.Circuits
}

// identityOfHTTP: who names himself to an HTTPTunnelPort is who does so to a SocksPort, on
// other circuits.
func identityOfHTTP(t *testing.T, l *lab, client *bridge.Client, web string) {
	l.set(t, "IdentityMaxStreams 4")
	carol, carl := l.tunnel(t, web, "carol"), l.tunnel(t, web, "carl")
	first, other := l.carrier(t, carol), l.carrier(t, carl)
	bySOCKS := l.carrier(t, l.get(t, "carol"))
	if first == other || first == bySOCKS {
		t.Errorf("circuits %q, of another user %q, by SOCKS %q", first, other, bySOCKS)
	}
	if again := l.carrier(t, carol); again != first {
		t.Errorf("the same user is on %q and then on %q", first, again)
	}
	got := identitiesOf(t, client, "carol", "carl")
	if len(got) != 2 || got["carol"].Streams != 3 || got["carol"].Circuits != 2 || got["carol"].Renewals != 0 || got["carl"].Streams != 1 {
		t.Errorf("%+v", got)
	}
	if n := renewed(t, client, node.RenewAsk{User: "carol"}); n != 2 {
		t.Errorf("the renewal is of %d circuits, not of both", n)
	}
	second := l.carrier(t, carol)
	if second == first || l.carrier(t, l.get(t, "carol")) == bySOCKS {
		t.Error("a renewed user is on an old circuit")
	}
	if l.carrier(t, carl) != other {
		t.Error("another user was renewed")
	}
	// Streams of both kinds count.
	if third, fourth := l.carrier(t, carol), l.carrier(t, carol); third != second || fourth != second {
		t.Errorf("the circuits of 4 streams: %q, then %q and %q", second, third, fourth)
	}
	if fifth := l.carrier(t, carol); fifth == second {
		t.Error("the fifth stream is on the old circuit")
	}
}

// identityAge: an identity is renewed by the first stream that comes when it is so old, and by
// none before.
func identityAge(t *testing.T, l *lab, web string) {
	const age = 10 * time.Second // the least
	l.set(t, "IdentityMaxAge 10 seconds")
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	type ride struct {
		circuit             string
		requested, attached time.Time // between the two the node looks at its clock
	}
	first := map[string]ride{}
	asks := map[string]func() error{"gina": l.get(t, "gina"), "hugo": l.tunnel(t, web, "hugo")}
	for ; len(asks) > 0; <-tick.C {
		for user, ask := range asks {
			_, from := l.events(0)
			r := ride{circuit: l.carrier(t, ask)}
			log, _ := l.events(from)
			for _, e := range log {
				switch {
				case e.GetStreamRequested().GetPurpose() == chivev1.Purpose_PURPOSE_GENERAL: // nobody else asks
					r.requested = e.GetTime().AsTime()
				case e.GetStreamAttached().GetCircuitId() == r.circuit:
					r.attached = e.GetTime().AsTime()
				}
			}
			began, ok := first[user]
			switch {
			case !ok:
				first[user] = r
			case r.circuit == began.circuit:
				if least := r.requested.Sub(began.attached); least >= age {
					t.Fatalf("%s is not renewed after %v", user, least)
				}
			default:
				if most := r.attached.Sub(began.requested); most < age {
					t.Errorf("%s is renewed after %v", user, most)
				}
				delete(asks, user)
			}
		}
	}
}
