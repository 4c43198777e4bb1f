package guard_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"chive/tor/guard"
	"chive/tor/netdoc"
	"chive/tor/path"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// index is a network of so many guards; those in gone have lost the flag.
func index(guards int, gone ...netdoc.Digest) *path.Index {
	c := &netdoc.Consensus{Params: netdoc.Params{}}
	for i := range guards {
		rs := netdoc.RouterStatus{
			Identity: netdoc.Digest{byte(i + 1)}, Bandwidth: uint32(i + 1),
			IPv4:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{20, byte(i), 0, 1}), 9001),
			Flags: netdoc.FlagRunning | netdoc.FlagValid | netdoc.FlagFast | netdoc.FlagStable | netdoc.FlagV2Dir | netdoc.FlagGuard,
		}
		if slices.Contains(gone, rs.Identity) {
			rs.Flags &^= netdoc.FlagGuard
		}
		c.Relays = append(c.Relays, rs)
	}
	return path.NewIndex(c, func(netdoc.MDDigest) *netdoc.Microdesc { return nil }, path.Options{})
}

func newSet(seed uint64) *guard.Set { return guard.New(rand.New(rand.NewPCG(seed, 1))) }

// guard-spec §4.2: the sample is filled up once and then kept.
func TestSampleIsFilledAndKept(t *testing.T) {
	s, x := newSet(1), index(20)
	added := s.Update(x, netdoc.Params{}, start)
	if len(added) != 3 || len(slices.Compact(slices.SortedFunc(slices.Values(added), func(a, b netdoc.Digest) int { return bytes.Compare(a[:], b[:]) }))) != 3 {
		t.Fatalf("sampled %v, want three different ones", added)
	}
	if again := s.Update(x, netdoc.Params{}, start.Add(time.Hour)); len(again) != 0 {
		t.Errorf("sampled %v again", again)
	}
	if more := s.Update(x, netdoc.Params{"guard-n-primary-guards": 5}, start.Add(time.Hour)); len(more) != 2 {
		t.Errorf("sampled %d more, want 2", len(more))
	}
}

// Rule 0: only a failed connection to a guard changes its use, and no other's.
func TestFailedGuardComesBackAtItsRetryTime(t *testing.T) {
	s := newSet(2)
	s.Update(index(20), netdoc.Params{}, start)
	order := s.Usable(start)
	s.Failed(order[0], start)
	for _, tt := range []struct {
		after time.Duration
		want  []netdoc.Digest
	}{
		{0, order[1:]}, {9 * time.Minute, order[1:]}, {10 * time.Minute, order},
	} {
		if got := s.Usable(start.Add(tt.after)); !slices.Equal(got, tt.want) {
			t.Errorf("after %v: %v, want %v", tt.after, got, tt.want)
		}
	}
	s.RetryNow()
	if got := s.Usable(start); !slices.Equal(got, order) {
		t.Errorf("after RetryNow: %v, want %v", got, order)
	}
}

func TestAllFailedMeansTheNetworkIsDown(t *testing.T) {
	s := newSet(3)
	s.Update(index(20), netdoc.Params{}, start)
	order := s.Usable(start)
	for _, id := range order {
		s.Failed(id, start)
	}
	if got := s.Usable(start.Add(9 * time.Second)); len(got) != 0 {
		t.Errorf("after 9 s: %v, want none", got)
	}
	if got := s.Usable(start.Add(10 * time.Second)); !slices.Equal(got, order) {
		t.Errorf("after 10 s: %v, want %v", got, order)
	}
}

// guard-spec §4.5: the first reached is confirmed and preferred from then on,
// for 48 to 60 days.
// One guard that is reached after all had failed brings the others back; one that
// is reached while another was fine does not.
func TestReachedAfterAnOutageForgivesAll(t *testing.T) {
	for _, outage := range []bool{true, false} {
		s := newSet(1)
		s.Update(index(20), netdoc.Params{}, start)
		all := s.Usable(start)
		failed := all
		if !outage {
			failed = all[:len(all)-1]
		}
		for _, id := range failed {
			s.Failed(id, start)
		}
		s.Reached(all[0], start.Add(time.Minute))
		want := len(all)
		if !outage {
			want = 2 // the one that was reached, and the one that never failed
		}
		if got := s.Usable(start.Add(time.Minute)); len(got) != want {
			t.Errorf("outage %v: %d guards are usable, want %d of %d", outage, len(got), want, len(all))
		}
	}
}

func TestConfirmedComesFirstAndExpires(t *testing.T) {
	s, x := newSet(4), index(20)
	s.Update(x, netdoc.Params{}, start)
	last := s.Usable(start)[2]
	if !s.Reached(last, start) || s.Reached(last, start) {
		t.Fatal("not confirmed exactly once")
	}
	if got := s.Usable(start)[0]; got != last {
		t.Fatalf("first is %v, want the confirmed %v", got, last)
	}
	g := s.Guards()[0]
	if life := g.Expires.Sub(g.Confirmed); life < 48*24*time.Hour || life > 60*24*time.Hour {
		t.Errorf("a life of %v", life)
	}
	s.Update(x, netdoc.Params{}, g.Expires.Add(time.Second))
	if slices.Contains(s.Usable(g.Expires.Add(time.Second)), last) && s.Guards()[0].Identity == last {
		t.Error("used beyond its life")
	}
}

func TestUnlistedIsNotUsedAndForgottenLater(t *testing.T) {
	s := newSet(5)
	s.Update(index(20), netdoc.Params{}, start)
	lost := s.Usable(start)[0]
	x := index(20, lost)
	s.Update(x, netdoc.Params{}, start)
	if slices.Contains(s.Usable(start), lost) {
		t.Error("used though unlisted")
	}
	for day := range 22 {
		s.Update(x, netdoc.Params{}, start.AddDate(0, 0, day))
	}
	for _, g := range s.Guards() {
		if g.Identity == lost {
			t.Error("still kept after 21 days unlisted")
		}
	}
}

func TestStateOnDisk(t *testing.T) {
	s := newSet(6)
	s.Update(index(20), netdoc.Params{}, start)
	s.Reached(s.Usable(start)[1], start)
	b, err := s.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	other := newSet(7)
	if err := other.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	if got, want := other.Usable(start), s.Usable(start); !slices.Equal(got, want) {
		t.Errorf("after the disk %v, want %v", got, want)
	}
	for name, bad := range map[string]string{
		"empty": "", "other version": strings.Replace(string(b), `"version": 1`, `"version": 2`, 1),
		"a zero": `{"version":1,"guards":[null]}`, "huge": strings.Repeat(" ", 2<<20),
	} {
		if err := other.Unmarshal([]byte(bad)); !errors.Is(err, guard.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, want := other.Usable(start), s.Usable(start); !slices.Equal(got, want) {
		t.Errorf("bad states changed it to %v", got)
	}
}

// A year of hourly views with random failures: there is always a guard within
// the retry interval, and the sample stays small.
func TestAYear(t *testing.T) {
	s, x, rng := newSet(8), index(60), rand.New(rand.NewPCG(9, 9))
	for hour := range 365 * 24 {
		now := start.Add(time.Duration(hour) * time.Hour)
		s.Update(x, netdoc.Params{}, now)
		usable := s.Usable(now)
		if len(usable) == 0 {
			usable = s.Usable(now.Add(10 * time.Second))
		}
		if len(usable) == 0 {
			t.Fatalf("no guard in hour %d", hour)
		}
		if rng.IntN(10) == 0 {
			s.Failed(usable[0], now)
		} else {
			s.Reached(usable[0], now)
		}
		if n := len(s.Guards()); n > 10 {
			t.Fatalf("%d guards in hour %d", n, hour)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	s := newSet(10)
	s.Update(index(20), netdoc.Params{}, start)
	b, err := s.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newSet(11)
		if err := s.Unmarshal(b); err != nil && len(s.Guards()) != 0 {
			t.Fatal("changed by a bad state")
		}
	})
}
