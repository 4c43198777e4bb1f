package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"chive/actors/node"
	"chive/bridge/fleet"
	"chive/messages"
)

// What is wrong with a node is in what a person reads first, and nothing is when nothing is.
func TestStatusSaysWhatIsWrong(t *testing.T) {
	wrong := []string{
		"bootstrap    100 %, no guard answers\n",
		"network      out of reach since 2026-11-30 07:00:00 (connect-refused): streams wait",
		"draining     applications' new streams are refused",
	}
	s := node.Status{Bootstrap: 100, Phase: "done", Summary: "ready: a circuit is open"}
	for range 2 {
		answer, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := printStatus(&out, answer); err != nil {
			t.Fatal(err)
		}
		for _, line := range wrong {
			if strings.Contains(out.String(), line) != (s.Trouble != nil) {
				t.Errorf("trouble %+v, and %q is shown or not:\n%s", s.Trouble, line, &out)
			}
		}
		s.Summary, s.Draining = "no guard answers", true
		s.Trouble = &node.Trouble{What: "no-guard", Since: time.Date(2026, 11, 30, 7, 0, 0, 0, time.UTC), Outcome: "connect-refused"}
	}
	var out strings.Builder
	if err := printNodes(&out, []fleet.Seen{{FleetMember: messages.FleetMember{Node: "n1", Draining: true, Trouble: "no-guard"}}}, fleet.Standing{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), " draining no-guard ") {
		t.Errorf("the fleet's nodes:\n%s", &out)
	}
}
