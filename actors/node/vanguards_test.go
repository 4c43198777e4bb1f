package node

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/netdoc"
	"chive/tor/path"
)

// middles is a network of relays that may be vanguards.
func middles(n int) *path.Index {
	c := &netdoc.Consensus{Params: netdoc.Params{}}
	for i := range n {
		rs := netdoc.RouterStatus{
			Identity: netdoc.Digest{byte(i + 1)}, MD: netdoc.MDDigest{byte(i + 1)}, Bandwidth: 10,
			IPv4: netip.AddrPortFrom(netip.AddrFrom4([4]byte{20, byte(i), 0, 1}), 9001),
			Flags: netdoc.FlagRunning | netdoc.FlagValid | netdoc.FlagFast | netdoc.FlagStable | netdoc.FlagGuard |
				netdoc.FlagV2Dir | netdoc.FlagExit,
		}
		c.Relays = append(c.Relays, rs)
	}
	all, _ := netdoc.ParsePortPolicy("accept 1-65535")
	return path.NewIndex(c, func(d netdoc.MDDigest) *netdoc.Microdesc {
		return &netdoc.Microdesc{NtorKey: [32]byte{d[0]}, Ed25519: netdoc.Ed25519ID{d[0]}, Policy4: all}
	}, path.Options{})
}

// The second layer of guards survives a restart, changes when its time is over, and is not
// used when the operator or the network says so. Events name its relays in the forensic
// tier alone.
func TestVanguardsAreKept(t *testing.T) {
	dir := t.TempDir()
	var added, removed int
	recorder := messages.NewRecorder("test", time.Now, 8)
	defer recorder.Observe(func(e *chivev1.Envelope) {
		if e.GetVanguardAdded() != nil {
			added++
		}
		if e.GetVanguardRemoved() != nil {
			removed++
		}
		if public := messages.Text(messages.Redact(e, chivev1.Tier_TIER_LIFECYCLE)); len(e.GetVanguardAdded().GetRelay()) > 0 && slices.Contains([]byte(public), '=') {
			t.Errorf("the lifecycle tier tells %s", public)
		}
	})()
	open := func(enabled string) (*vanguards, func()) {
		j := openTestJournal(t, dir)
		v := openVanguards(j, enabled, recorder, quiet(), newRand())
		return v, func() {
			closeLane(t.Context(), v.last(), quiet())
			closeJournal(t, j)
		}
	}
	now, x := time.Now(), middles(40)
	v, shut := open("auto")
	if v.Layer2(now) != nil {
		t.Error("a layer of an unknown network")
	}
	v.Update(x, netdoc.Params{}, now)
	first := v.Layer2(now)
	if len(first) != 4 || added != 4 {
		t.Fatalf("%d relays, %d told", len(first), added)
	}
	shut()

	v, shut = open("auto")
	v.Update(x, netdoc.Params{}, now.Add(time.Minute))
	if again := v.Layer2(now.Add(time.Minute)); !slices.Equal(again, first) || added != 8 {
		t.Fatalf("after a restart %v, before %v; %d told", again, first, added)
	}
	later := now.Add(13 * 24 * time.Hour)
	if again := v.Layer2(later); len(again) != 4 || removed != 4 {
		t.Errorf("after 13 days %v; %d are told to be gone", again, removed)
	}
	v.configure("0")
	if v.Layer2(later) != nil {
		t.Error("a layer that the operator does not want")
	}
	v.configure("auto")
	v.Update(x, netdoc.Params{"vanguards-lite-enabled": 0}, later)
	if v.Layer2(later) != nil {
		t.Error("a layer that the network does not want")
	}
	v.configure("1")
	second := v.Layer2(later)
	shut()
	v, shut = open("1")
	defer shut()
	v.Update(x, netdoc.Params{}, later)
	if again := v.Layer2(later); !slices.Equal(again, second) {
		t.Errorf("after the second restart %v, before %v", again, second)
	}
}
