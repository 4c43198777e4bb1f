package main

import (
	"strings"
	"testing"

	"chive/actors/hosting"
)

// What a target refuses says that clients reach the service only where they do.
func TestRefusingTargets(t *testing.T) {
	for state, reached := range map[string]bool{"up": true, hosting.Ending: false} {
		var out strings.Builder
		printRefusing(&out, hosting.Status{
			State: state, Health: &hosting.Health{Verdict: "up"},
			Targets: []hosting.Target{{Port: 80, Target: "127.0.0.1:8080", State: "refuses", Failed: 1, Reason: "connect-refused"}},
		}, "")
		if got := strings.HasPrefix(out.String(), "clients reach the service, its target does not answer: port 80"); got != reached || out.Len() == 0 {
			t.Errorf("%s: %s", state, out.String())
		}
	}
}
