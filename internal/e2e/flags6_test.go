package e2e

import (
	"testing"

	"chive/internal/testnet"
	"chive/messages/chivev1"
)

// Of three exits of C tor one connects over IPv6: names that listeners may reach over IPv6
// alone go there at once, and no other exit is asked in vain.
func TestNamesOverIPv6Alone(t *testing.T) {
	t.Parallel()
	n := testnet.ForTest(t, testnet.Options{Onions: -1, Torrc: map[string][]string{"exit1": {"IPv6Exit 1"}}})
	port := twoFamilies(t, n.Target().IP)
	var lines, at []string
	for range 6 { // each with circuits of its own
		at = append(at, freePort(t))
		lines = append(lines, "SocksPort "+at[len(at)-1]+" NoIPv4Traffic")
	}
	tunnel := freePort(t)
	c := start(t, n, append(lines, "HTTPTunnelPort "+tunnel+" NoIPv4Traffic", "ConfluxEnabled 0")...)
	for _, socks := range at {
		if got := reached(t, socks, "connect", "both.test", port); got != "6" {
			t.Errorf("over IPv6 alone: %s", got)
		}
		// An address is asked of any exit.
		if got := reached(t, socks, "resolve", "both.test", 0); got != "6" {
			t.Errorf("RESOLVE for IPv6 alone: %s", got)
		}
	}
	if got := reached(t, tunnel, "http", "both.test", port); got != "6" {
		t.Errorf("CONNECT over IPv6 alone: %s", got)
	}
	refused := func(e *chivev1.Envelope) bool { // others are of circuits that were slow
		return e.GetStreamDetached().GetOutcome() == chivev1.Outcome_OUTCOME_EXIT_POLICY
	}
	if vain := c.count(refused); vain > 0 {
		t.Errorf("%d exits were asked in vain", vain)
	}
}
