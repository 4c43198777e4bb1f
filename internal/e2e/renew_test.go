package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"chive/actors/node"
	"chive/bridge"
	"chive/messages"
)

// Renewing one identity moves it to another circuit, and nobody else; renewing all
// moves all, and not twice at once. Open streams stay.
func TestRenew(t *testing.T) {
	t.Parallel()
	n := network(t)
	base := []string{"SocksPort auto"}
	l := newLab(t, n, base...)
	client, err := bridge.Connect(t.Context(), l.dir+"/data")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	renew := func(ask node.RenewAsk) (int, error) {
		question, err := json.Marshal(ask)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Request(t.Context(), messages.VerbRenew, question)
		if err != nil {
			return 0, err
		}
		var a node.RenewAnswer
		return a.Circuits, json.Unmarshal(answer, &a)
	}
	on := func(user string) string { return l.carrier(t, l.get(t, user)) }

	stays, err := l.reloadable.echo("alice", l.echo)
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()
	alice, bob := on("alice"), on("bob")
	other := "not hers"
	for _, tt := range []struct {
		ask  node.RenewAsk
		want int
	}{
		{node.RenewAsk{User: "nobody"}, 0},
		{node.RenewAsk{User: "alice", Password: &other}, 0},
		{node.RenewAsk{User: "alice"}, 1},
		{node.RenewAsk{User: "alice"}, 0}, // there is none yet
	} {
		if got, err := renew(tt.ask); err != nil || got != tt.want {
			t.Fatalf("%+v: %d circuits, %v; want %d", tt.ask, got, err, tt.want)
		}
	}
	next := on("alice")
	if next == alice || on("bob") != bob {
		t.Error("alice is on the old circuit, or bob on another")
	}
	if err := stays.roundTrip(1); err != nil {
		t.Errorf("alice's open stream: %v", err)
	}

	if got, err := renew(node.RenewAsk{All: true}); err != nil || got != 2 {
		t.Fatalf("all: %d circuits, %v; want 2", got, err)
	}
	if _, err := renew(node.RenewAsk{All: true}); err == nil || !strings.Contains(err.Error(), "less than 10 s ago") {
		t.Errorf("all again at once: %v", err)
	}
	if on("alice") == next || on("bob") == bob {
		t.Error("somebody is on the old circuit")
	}
	for _, ask := range []node.RenewAsk{{}, {All: true, User: "x"}, {All: true, Password: &other}} {
		if _, err := renew(ask); err == nil || !strings.Contains(err.Error(), "either all or a user") {
			t.Errorf("%+v: %v", ask, err)
		}
	}
	if err := stays.roundTrip(2); err != nil {
		t.Errorf("alice's open stream: %v", err)
	}
}
