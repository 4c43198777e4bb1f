package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chive/internal/testnet"
)

// C tor's relays pad connections as we tell them to, and their padding and ours
// passes both ways.
func TestLinkPadding(t *testing.T) {
	t.Parallel()
	logged := filepath.Join(t.TempDir(), "relays.log")
	n := testnet.ForTest(t, testnet.Options{
		Onions: -1,
		Override: map[string]int32{
			"guard-n-primary-guards-to-use": 1, "guard-n-primary-dir-guards-to-use": 1,
			"nf_ito_low": 200, "nf_ito_high": 600, "nf_ito_low_reduced": 300, "nf_ito_high_reduced": 900,
		},
		Torrc: map[string][]string{"relay": {"Log [channel,or]info file " + logged}},
	})
	said := func(what string) int {
		text, err := os.ReadFile(logged)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), what)
	}
	const stop, start = "Negotiated padding=0", "Negotiated padding=1, lo=200, hi=600"
	run := func(options ...string) *lab {
		base := append([]string{"SocksPort auto"}, options...)
		l := newLab(t, n, base...)
		l.once(t)
		return l
	}
	// ended gives the PADDING cells of all connections of a node that has stopped.
	ended := func(l *lab) (sent, received uint64) {
		l.stop()
		log, _ := l.events(0)
		for _, e := range log {
			sent += e.GetConnectionClosed().GetPaddingSent()
			received += e.GetConnectionClosed().GetPaddingReceived()
		}
		return sent, received
	}

	l := run()
	const pads = "Sending netflow keepalive"
	l.client.until(t, "the relay pads", func() bool { return said(pads) >= 5 })
	if n := said(stop) + said(start); n != 0 {
		t.Errorf("the relay was told something %d times, and the default is to say nothing", n)
	}
	l.set(t, "ConnectionPadding 0")
	l.client.until(t, "the relay is told not to pad", func() bool { return said(stop) > 0 })
	l.set(t)
	l.client.until(t, "the relay is told to pad again", func() bool { return said(start) > 0 })
	before := said(pads)
	l.client.until(t, "the relay pads again", func() bool { return said(pads) >= before+5 })
	if sent, received := ended(l); sent < 5 || received < 8 {
		t.Errorf("%d PADDING cells went out, %d came in", sent, received)
	}
	for _, options := range []string{"ConnectionPadding 0", "ReducedConnectionPadding 1"} {
		before := said(stop)
		l := run(options)
		padded := said(pads) // the relay may have padded what the node before closed, until it saw that
		l.client.until(t, "the relay is told not to pad", func() bool { return said(stop) > before })
		sent, received := ended(l)
		if received != 0 || said(pads) != padded || options == "ConnectionPadding 0" && sent != 0 {
			t.Errorf("%s: %d PADDING cells went out, %d came in", options, sent, received)
		}
	}
}
