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
		return fleet.Seen{FleetMember: messages.FleetMember{Node: node, Shared: all}}
	}
	var out bytes.Buffer
	err := printShared(&out, sharedBy([]fleet.Seen{
		seen("n1", messages.FleetShared{Name: "bb", Publishes: true, Epoch: 7, Points: 3, Described: now.Add(-time.Hour)}, messages.FleetShared{Name: "aa", Epoch: 3}),
		seen("n2", messages.FleetShared{Name: "bb", Publishes: true, Epoch: 9, Points: 2, Described: now.Add(-time.Minute)}),
		seen("n3", messages.FleetShared{Name: "bb", Epoch: 7, Points: 1}), seen("n4"),
	}), now)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	for i, want := range []string{"SERVICE PUBLISHER EPOCH DESCRIPTOR NODES", "aa none is known 3 - n1 (0)", "bb n2 9 1m00s n1 (3), n2 (2), n3 (1)"} {
		if got := strings.Join(strings.Fields(lines[i]), " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	out.Reset()
	if err := printShared(&out, sharedBy([]fleet.Seen{seen("n4")}), now); err != nil || !strings.Contains(out.String(), "no onion service") {
		t.Errorf("%q, %v", out.String(), err)
	}
}
