package node

import (
	"testing"
	"time"

	"chive/actors/circuits"
	"chive/tor/netdoc"
)

// What a consensus says of connections reaches them.
func TestForConnections(t *testing.T) {
	m := forConnections(&circuits.Netdir{Params: netdoc.Params{"CircuitPriorityHalflifeMsec": 250, "nf_ito_low": 700}})
	if m.HalfLife != 250*time.Millisecond || m.Padding.Low != 700*time.Millisecond {
		t.Errorf("%+v", m)
	}
}
