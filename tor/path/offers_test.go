package path

import (
	"testing"

	"chive/tor/netdoc"
)

// A relay is asked for what it lists, each number by itself: Relay=6 does not stand for 4 or 5.
func TestOffers(t *testing.T) {
	for protocols, want := range map[string]struct{ congestionControl, cgo bool }{
		"Relay=1-6 FlowCtrl=1-2":   {true, true},
		"Relay=4,5,6 FlowCtrl=2":   {true, true},
		"Relay=1-5 FlowCtrl=1-2":   {true, false},
		"Relay=1-4,6 FlowCtrl=1-2": {true, false},
		"Relay=2,5-6 FlowCtrl=1-2": {false, false},
		"Relay=1-6 FlowCtrl=1":     {false, false},
		"Relay=1-6":                {false, false},
		"":                         {false, false},
	} {
		p, err := netdoc.ParseProtocols(protocols)
		if err != nil {
			t.Fatal(err)
		}
		r := &Relay{RouterStatus: &netdoc.RouterStatus{Protocols: p}}
		if r.CongestionControl() != want.congestionControl || r.CGO() != want.cgo {
			t.Errorf("%q: congestion control %v, CGO %v", protocols, r.CongestionControl(), r.CGO())
		}
	}
}
