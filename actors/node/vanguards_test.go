package node

import (
	"net/netip"
	"slices"
	"strings"
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
		if public := messages.Text(messages.Redact(e, chivev1.Tier_TIER_LIFECYCLE)); strings.Contains(public, "relay=") {
			t.Errorf("the lifecycle tier tells %s", public)
		}
	})()
	open := func(lite string) (*vanguards, func()) {
		j := openTestJournal(t, dir)
		v := openVanguards(j, vanguardSettings{lite: lite, full: "auto"}, recorder, quiet(), newRand())
		return v, func() {
			closeLane(t.Context(), v.last(), quiet())
			closeJournal(t, j)
		}
	}
	now, x := time.Now(), middles(40)
	v, shut := open("auto")
	if v.Layers(now).Second != nil {
		t.Error("a layer of an unknown network")
	}
	v.Update(x, netdoc.Params{}, now)
	first := v.Layers(now).Second
	if len(first) != 4 || added != 4 {
		t.Fatalf("%d relays, %d told", len(first), added)
	}
	shut()

	v, shut = open("auto")
	v.Update(x, netdoc.Params{}, now.Add(time.Minute))
	if again := v.Layers(now.Add(time.Minute)).Second; !slices.Equal(again, first) || added != 8 {
		t.Fatalf("after a restart %v, before %v; %d told", again, first, added)
	}
	later := now.Add(13 * 24 * time.Hour)
	again := v.Layers(later).Second
	gone := len(slices.DeleteFunc(slices.Clone(first), func(id netdoc.Digest) bool { return slices.Contains(again, id) }))
	if len(again) != 4 || removed != gone || gone < 2 { // one may be drawn anew
		t.Errorf("after 13 days %v, before %v; %d are told to be gone", again, first, removed)
	}
	v.configure(vanguardSettings{lite: "0", full: "auto"})
	if v.Layers(later).Second != nil {
		t.Error("a layer that the operator does not want")
	}
	v.configure(vanguardSettings{lite: "auto", full: "auto"})
	v.Update(x, netdoc.Params{"vanguards-lite-enabled": 0}, later)
	if v.Layers(later).Second != nil {
		t.Error("a layer that the network does not want")
	}
	v.configure(vanguardSettings{lite: "1", full: "auto"})
	second := v.Layers(later).Second
	shut()
	v, shut = open("1")
	defer shut()
	v.Update(x, netdoc.Params{}, later)
	if again := v.Layers(later).Second; !slices.Equal(again, second) {
		t.Errorf("after the second restart %v, before %v", again, second)
	}
}

// With full vanguards a third layer is told of and kept. What is used no more is told to be
// gone; its relays come back with it.
func TestFullVanguardsAreKept(t *testing.T) {
	dir := t.TempDir()
	told := map[uint32]int{} // relays that the events say are in a layer
	recorder := messages.NewRecorder("test", time.Now, 8)
	defer recorder.Observe(func(e *chivev1.Envelope) {
		if a := e.GetVanguardAdded(); a != nil {
			told[a.GetLayer()]++
		}
		if r := e.GetVanguardRemoved(); r != nil {
			told[r.GetLayer()]--
		}
	})()
	want := func(second, third int) {
		t.Helper()
		if told[2] != second || told[3] != third {
			t.Errorf("told of %v, want %d and %d", told, second, third)
		}
	}
	open := func(s vanguardSettings) (*vanguards, func()) {
		j := openTestJournal(t, dir)
		v := openVanguards(j, s, recorder, quiet(), newRand())
		return v, func() {
			closeLane(t.Context(), v.last(), quiet())
			closeJournal(t, j)
		}
	}
	now, x := time.Now(), middles(40)
	auto, on := vanguardSettings{lite: "auto", full: "auto"}, vanguardSettings{lite: "auto", full: "1"}
	v, shut := open(auto)
	v.Update(x, netdoc.Params{}, now)
	lite := v.Layers(now)
	if lite.Mode() != path.Lite {
		t.Fatalf("%+v", lite)
	}
	want(4, 0)
	v.configure(on)
	full := v.Layers(now)
	if len(full.Third) != 8 || !slices.Equal(full.Second, lite.Second) {
		t.Fatalf("%+v after %+v", full, lite)
	}
	want(4, 8)
	v.configure(auto)
	if got := v.Layers(now); got.Mode() != path.Lite {
		t.Errorf("%+v", got)
	}
	want(4, 0)
	v.configure(vanguardSettings{lite: "0", full: "0"})
	if got := v.Layers(now); got.Mode() != path.NoLayers {
		t.Errorf("%+v", got)
	}
	want(0, 0)
	shut()

	v, shut = open(on)
	defer shut()
	v.Update(x, netdoc.Params{}, now)
	if got := v.Layers(now); !slices.Equal(got.Second, full.Second) || !slices.Equal(got.Third, full.Third) {
		t.Errorf("after a restart %+v, before %+v", got, full)
	}
	want(4, 8)
	for _, tt := range []struct {
		s      vanguardSettings
		params netdoc.Params
		want   path.Mode
	}{
		{vanguardSettings{lite: "0", full: "1"}, netdoc.Params{}, path.Full},
		{vanguardSettings{lite: "1", full: "0"}, netdoc.Params{"vanguards-enabled": 2}, path.Lite},
		{auto, netdoc.Params{"vanguards-enabled": 2}, path.Full},
		{auto, netdoc.Params{"vanguards-hs-service": 2}, path.Lite},
		{vanguardSettings{lite: "auto", full: "auto", hosts: true}, netdoc.Params{"vanguards-hs-service": 2}, path.Full},
		{vanguardSettings{lite: "auto", full: "auto", hosts: true}, netdoc.Params{}, path.Lite},
		{vanguardSettings{lite: "0", full: "auto", hosts: true}, netdoc.Params{"vanguards-hs-service": 2}, path.NoLayers},
	} {
		v.configure(tt.s)
		v.Update(x, tt.params, now)
		if got := v.Layers(now).Mode(); got != tt.want {
			t.Errorf("%+v, %v: mode %d, want %d", tt.s, tt.params, got, tt.want)
		}
	}
}
