package node

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"chive/bridge/journal"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/guard"
	"chive/tor/netdoc"
	"chive/tor/nodeset"
	"chive/tor/path"
	"chive/tor/reach"
)

// guardNetwork is a network of so many guards; every tenth has an IPv6 address, too.
func guardNetwork(n int) *path.Index { return guardNetworkOf(n, path.Options{}) }

func guardNetworkOf(n int, o path.Options) *path.Index {
	c := &netdoc.Consensus{}
	for i := range n {
		c.Relays = append(c.Relays, netdoc.RouterStatus{
			Identity: netdoc.Digest{1, byte(i)}, Bandwidth: 1000,
			IPv4:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{20, byte(i), 0, 1}), 9001),
			Flags: netdoc.FlagRunning | netdoc.FlagValid | netdoc.FlagFast | netdoc.FlagStable | netdoc.FlagV2Dir | netdoc.FlagGuard,
		})
	}
	for i := 0; i < len(c.Relays); i += 10 {
		c.Relays[i].IPv6 = netip.AddrPortFrom(netip.IPv6Loopback(), 9001)
	}
	return path.NewIndex(c, func(netdoc.MDDigest) *netdoc.Microdesc { return nil }, o)
}

// guardNode is the guards of a node in dir, with what they tell.
type guardNode struct {
	*guards
	journal *journal.Journal
	events  []*chivev1.Envelope
	retried [][20]byte
}

func newGuardNode(t *testing.T, dir string) *guardNode {
	t.Helper()
	j, _, err := journal.Open(journal.Options{Dir: filepath.Join(dir, journalFolder), Timeout: guardPatience})
	if err != nil {
		t.Fatal(err)
	}
	n := &guardNode{journal: j}
	recorder := messages.NewRecorder("n", time.Now, 64)
	recorder.Observe(func(e *chivev1.Envelope) { n.events = append(n.events, e) })
	n.guards, err = newGuards(j, dir, recorder, slog.New(slog.DiscardHandler), func(err error) { t.Error(err) }, newRand())
	if err != nil {
		t.Fatal(err)
	}
	n.onRetried(func(relays [][20]byte) { n.retried = append(n.retried, relays...) })
	t.Cleanup(func() {
		if err := n.close(guardContext(t)); err != nil {
			t.Error(err)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func (n *guardNode) told(match func(*chivev1.Envelope) bool) (count int) {
	for _, e := range n.events {
		if match(e) {
			count++
		}
	}
	return count
}

// Killed at any moment, a node starts with the guards it had: what is on disk then is
// copied, without an end of what writes it.
func TestGuardsSurviveAKill(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	n := newGuardNode(t, dir)
	n.Update(guardNetwork(100), nil, now)
	chosen := n.Candidates(now)[0]
	n.Launched("c", chosen, now)
	if !n.Opened("c", now) {
		t.Error("a circuit through a primary guard waits")
	}
	if err := n.store.lane.Flush(guardContext(t)); err != nil {
		t.Fatal(err)
	}
	for _, without := range []string{"guards.json", journalFolder, ""} {
		killed := t.TempDir()
		if err := n.store.mirror.wait(guardContext(t)); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if without != "" {
			if err := os.RemoveAll(filepath.Join(killed, without)); err != nil {
				t.Fatal(err)
			}
		}
		again := newGuardNode(t, killed)
		if !slices.Equal(again.set.List(), n.set.List()) {
			t.Errorf("without %q: %v, want %v", without, again.set.List(), n.set.List())
		}
		again.Update(guardNetwork(100), nil, now)
		if got := again.set.Primaries(); !slices.Equal(got, n.set.Primaries()) || !slices.Contains(got, chosen) {
			t.Errorf("without %q: primaries %v, want %v", without, got, n.set.Primaries())
		}
	}
}

// What the guards do is told: to the recorder, and to who dials.
func TestWhatGuardsTell(t *testing.T) {
	n, now := newGuardNode(t, t.TempDir()), time.Now()
	n.Update(guardNetwork(100), nil, now)
	down := n.Candidates(now)
	for i, id := range down {
		n.Launched(string(rune('a'+i)), id, now)
		n.Failed(id, chivev1.Outcome_OUTCOME_TIMEOUT, now)
		n.Gone(string(rune('a' + i)))
	}
	if got := n.retry(guard.Asked); got != 3 || len(n.retried) != 3 {
		t.Errorf("%d guards are tried again, %d relays; want 3", got, len(n.retried))
	}
	n.retry(guard.Woken)
	for name, tt := range map[string]struct {
		want  int
		match func(*chivev1.Envelope) bool
	}{
		"sampled": {20, func(e *chivev1.Envelope) bool { return e.GetGuardSampled() != nil }},
		"unreachable": {3, func(e *chivev1.Envelope) bool {
			return e.GetGuardUnreachable().GetOutcome() == chivev1.Outcome_OUTCOME_TIMEOUT
		}},
		"asked": {1, func(e *chivev1.Envelope) bool {
			return e.GetGuardsRetried().GetReason() == "asked" && e.GetGuardsRetried().GetGuards() == 3
		}},
		"woken": {1, func(e *chivev1.Envelope) bool { return e.GetGuardsRetried().GetReason() == "woken" }},
	} {
		if got := n.told(tt.match); got != tt.want {
			t.Errorf("%s: told %d times, want %d", name, got, tt.want)
		}
	}
}

// Guards are those that the rules of the newest view of the network allow.
func TestGuardsFollowTheRules(t *testing.T) {
	n, now := newGuardNode(t, t.TempDir()), time.Now()
	n.Update(guardNetwork(100), nil, now)
	all := n.Candidates(now)
	few := &nodeset.Rules{Entry: nodeset.Set{Relays: []netdoc.Digest{{1, 0}, {1, 1}, {1, 2}}}}
	n.Update(guardNetworkOf(100, path.Options{Nodes: few}), nil, now)
	got := n.Candidates(now)
	for _, id := range got {
		if id[1] > 2 {
			t.Errorf("%v is not allowed", id)
		}
	}
	if len(got) == 0 || n.set.Selection() != guard.Restricted {
		t.Errorf("%d guards, selection %q", len(got), n.set.Selection())
	}
	n.Update(guardNetwork(100), nil, now)
	if n.set.Selection() != guard.Default {
		t.Errorf("selection %q", n.set.Selection())
	}
	for _, id := range n.Candidates(now) { // those in use share the load by chance
		if !slices.Contains(all, id) {
			t.Errorf("%v is no guard of before", id)
		}
	}
}

// Guards without an address that may be used are passed over at once, and do not count as
// failed: they are back when the options are.
func TestGuardsThatCannotBeReached(t *testing.T) {
	n, now := newGuardNode(t, t.TempDir()), time.Now()
	n.Update(guardNetwork(100), nil, now)
	before := n.set.Primaries()
	n.configure(guard.Settings{}, reach.Rules{NoIPv4: true}, now)
	got := n.Candidates(now)
	for _, id := range append(got, n.set.Primaries()...) {
		if id[1]%10 != 0 {
			t.Errorf("%v has no IPv6 address", id)
		}
	}
	for _, d := range n.directories() {
		if !d.IPv6.IsValid() {
			t.Errorf("%v has no IPv6 address", d)
		}
	}
	if len(got) == 0 {
		t.Error("no guard")
	}
	n.configure(guard.Settings{}, reach.Rules{NoIPv6: true}, now)
	if after := n.set.Primaries(); !slices.Equal(before, after) {
		t.Errorf("primaries were %v and are %v", before, after)
	}
	for _, id := range before {
		if n.set.Reachability(id) != guard.Maybe {
			t.Errorf("%v is %v", id, n.set.Reachability(id))
		}
	}
	if failed := n.told(func(e *chivev1.Envelope) bool { return e.GetGuardUnreachable() != nil }); failed > 0 {
		t.Errorf("%d failed", failed)
	}
}

// NumDirectoryGuards: directory requests go to so many of the primary guards, one of them by
// chance, and the next one takes the place of one that fails; by default as the consensus says.
func TestDirectoryGuards(t *testing.T) {
	n, now := newGuardNode(t, t.TempDir()), time.Now()
	firsts := func() (out []netdoc.Digest) {
		t.Helper()
		for range 100 {
			if d := n.directories(); len(d) == 0 {
				t.Fatal("no directory")
			} else if !slices.Contains(out, d[0].Identity) {
				out = append(out, d[0].Identity)
			}
		}
		return out
	}
	n.Update(guardNetwork(100), netdoc.Params{"guard-n-primary-dir-guards-to-use": 3}, now)
	primary := n.set.Primaries()
	for _, tt := range []struct{ settings, guards int }{{0, 3}, {1, 1}, {2, 2}, {3, 3}} {
		n.configure(guard.Settings{UseDirectory: tt.settings}, reach.Rules{}, now)
		got := firsts()
		for _, id := range got {
			if !slices.Contains(primary[:tt.guards], id) {
				t.Errorf("%d: %v is asked", tt.settings, id)
			}
		}
		if len(got) != tt.guards {
			t.Errorf("%d: %d guards are asked, want %d", tt.settings, len(got), tt.guards)
		}
	}
	n.configure(guard.Settings{UseDirectory: 1}, reach.Rules{}, now)
	n.Failed(primary[0], chivev1.Outcome_OUTCOME_TIMEOUT, now)
	if got := firsts(); !slices.Equal(got, primary[1:2]) {
		t.Errorf("while the first one fails: %v, want %v", got, primary[1:2])
	}
}
