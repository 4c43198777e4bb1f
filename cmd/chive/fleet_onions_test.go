package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"chive/bridge/fleet"
	"chive/messages"
)

func TestFleetOnions(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	seen := func(node string, all ...messages.FleetShared) fleet.Seen {
		return fleet.Seen{FleetMember: messages.FleetMember{Node: node, Shared: all}, Heard: now.Add(-2 * time.Second)}
	}
	good := fleet.Standing{Time: now, Servers: 3, There: 3, Stores: true}
	var out bytes.Buffer
	err := printShared(&out, sharedBy([]fleet.Seen{
		seen("n1", messages.FleetShared{Name: "bb", Publishes: true, Epoch: 7, Points: 3, Described: now.Add(-time.Hour)}, messages.FleetShared{Name: "aa", Epoch: 3}),
		seen("n2", messages.FleetShared{Name: "bb", Publishes: true, Epoch: 9, Points: 2, Described: now.Add(-time.Minute)}),
		seen("n3", messages.FleetShared{Name: "bb", Epoch: 7, Points: 1}), seen("n4"),
	}, good), good, now)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	for i, want := range []string{"SERVICE PUBLISHER EPOCH DESCRIPTOR HEARD NODES", "aa none is known 3 - 2s n1 (0)", "bb n2 9 1m00s 2s n1 (3), n2 (2), n3 (1)"} {
		if got := strings.Join(strings.Fields(lines[i]), " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	out.Reset()
	if err := printShared(&out, sharedBy([]fleet.Seen{seen("n4")}, good), good, now); err != nil || !strings.Contains(out.String(), "no onion service") {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// Who was not heard of lately, and whoever servers without a majority name, publishes nothing.
func TestFleetOnionsThatAreOld(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	service := messages.FleetShared{Name: "aa", Publishes: true, Epoch: 7, Points: 3}
	for name, c := range map[string]struct {
		ago  time.Duration
		s    fleet.Standing
		want string
	}{
		"just now":    {2 * time.Second, fleet.Standing{Servers: 3, There: 2, Stores: true}, "aa n1 7 - 2s n1 (3)"},
		"not lately":  {14 * time.Second, fleet.Standing{Servers: 3, There: 2, Stores: true}, "aa none is known 7 - 14s n1 (3)"},
		"no majority": {2 * time.Second, fleet.Standing{Servers: 2, There: 1}, "aa none is known 7 - 2s n1 (3)"},
	} {
		c.s.Time = now
		all := []fleet.Seen{{FleetMember: messages.FleetMember{Node: "n1", Shared: []messages.FleetShared{service}}, Heard: now.Add(-c.ago)}}
		var out bytes.Buffer
		if err := printShared(&out, sharedBy(all, c.s), c.s, now); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(strings.Fields(strings.Split(out.String(), "\n")[1]), " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// What is below a list of the fleet's.
func TestFleetStanding(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	node := func(name string, ago time.Duration) fleet.Seen {
		return fleet.Seen{FleetMember: messages.FleetMember{Node: name}, Heard: now.Add(-ago)}
	}
	fresh := []fleet.Seen{node("n1", time.Second), node("n2", 5*time.Second)}
	for name, c := range map[string]struct {
		all  []fleet.Seen
		s    fleet.Standing
		want []string // in this order; none: nothing at all
	}{
		"all is well":    {fresh, fleet.Standing{Servers: 3, There: 3, Stores: true}, nil},
		"one is lost":    {fresh, fleet.Standing{Servers: 3, There: 2, Stores: true}, nil},
		"a plain server": {fresh, fleet.Standing{Servers: 1, There: 1, Stores: true}, nil},
		"two":            {fresh, fleet.Standing{Servers: 2, There: 2, Stores: true}, []string{"2 NATS servers hold", "without 1 of them nothing is stored"}},
		"four":           {fresh, fleet.Standing{Servers: 4, There: 4, Stores: true}, []string{"4 NATS servers hold", "without 2 of them nothing is stored"}},
		"one of two":     {nil, fleet.Standing{Servers: 2, There: 1}, []string{"NO MAJORITY: of the fleet's 2 NATS servers 1 is there, and 2 have to be", "no configuration can be published"}},
		"they choose":    {fresh, fleet.Standing{Servers: 3, There: 2}, []string{"follow none of them just now", "Ask again"}},
		"nobody":         {nil, fleet.Standing{Servers: 1, There: 1, Stores: true}, []string{"no node has been heard of"}},
		"one is late":    {append([]fleet.Seen{node("n3", 14*time.Second)}, fresh...), fleet.Standing{Servers: 1, There: 1, Stores: true}, []string{"not heard of lately, so not to be relied on: n3 (14s)\n"}},
	} {
		c.s.Time = now
		var out bytes.Buffer
		printStanding(&out, c.all, c.s)
		rest := out.String()
		if c.want == nil && rest != "" {
			t.Errorf("%s: %q", name, rest)
		}
		for _, want := range c.want {
			_, after, ok := strings.Cut(rest, want)
			if !ok {
				t.Errorf("%s: %q has not %q", name, out.String(), want)
			}
			rest = after
		}
	}
}
