package hosting

import (
	"fmt"
	"testing"

	"chive/tor/netdoc"
	"chive/tor/onion/host"
)

func TestPastRelays(t *testing.T) {
	p := new(pastRelays)
	if p.read() != nil {
		t.Error("something is known of nothing")
	}
	first := netdoc.Digest{1}
	p.note(1, first)
	p.note(1, netdoc.Digest{2})
	if got := p.read(); len(got) != 1 || got["1"] != "0100000000000000000000000000000000000000" {
		t.Errorf("%v", got)
	}
	before := p.read()
	for id := range host.PointID(2 * mostRelays) {
		p.note(id+2, netdoc.Digest{3})
	}
	if got := p.read(); len(got) != mostRelays || got["1"] != "" || got[fmt.Sprint(2*mostRelays+1)] == "" || len(before) != 1 {
		t.Errorf("%d are remembered", len(got))
	}
}
