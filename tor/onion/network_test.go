package onion

import (
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chive/tor/netdoc"
)

var live = Schedule{Voting: time.Hour, Minutes: 1440}

func at(t *testing.T, s string) time.Time {
	t.Helper()
	when, err := time.Parse("2006-01-02 15:04:05", s)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

// The example of rend-spec-v3 section 2.2.1, and C tor's tests of it.
func TestPeriods(t *testing.T) {
	private := Schedule{Voting: 10 * time.Second, Minutes: 4}
	tests := []struct {
		s    Schedule
		now  string
		want uint64
		next string
	}{
		{live, "2016-04-13 11:00:00", 16903, "2016-04-13 12:00:00"},
		{live, "2016-04-13 11:15:01", 16903, "2016-04-13 12:00:00"},
		{live, "2016-04-13 11:59:59", 16903, "2016-04-13 12:00:00"},
		{live, "2016-04-13 12:00:00", 16904, "2016-04-14 12:00:00"},
		{live, "1973-05-20 01:50:33", 1234, "1973-05-20 12:00:00"},
		{private, "2016-04-13 00:00:00", 6085439, "2016-04-13 00:02:00"},
		{private, "2016-04-13 00:02:00", 6085440, "2016-04-13 00:06:00"},
	}
	for _, tt := range tests {
		p := tt.s.Period(at(t, tt.now))
		if p.Number != tt.want || p.Minutes != tt.s.Minutes {
			t.Errorf("%s is in period %d, want %d", tt.now, p.Number, tt.want)
		}
		if next := tt.s.Start(p.Next()); !next.Equal(at(t, tt.next)) {
			t.Errorf("%s: the next period begins at %v", tt.now, next)
		}
	}
}

// A period holds its start and everything up to the next one's; the chain of
// periods has no gaps. Whole minutes only: see Schedule.Period.
func TestPeriodsTile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Schedule{
			Voting:  time.Duration(rapid.IntRange(1, 120).Draw(t, "voting")) * 5 * time.Second,
			Minutes: rapid.Uint64Range(1, 14400).Draw(t, "minutes"),
		}
		now := time.Unix(rapid.Int64Range(1e9, 4e9).Draw(t, "now"), 0)
		p := s.Period(now)
		if s.offset()%time.Minute == 0 && (now.Before(s.Start(p)) || !now.Before(s.Start(p.Next()))) {
			t.Fatalf("%v is not within %v to %v", now, s.Start(p), s.Start(p.Next()))
		}
		if p.Next().Previous() != p || s.Start(p.Next()).Sub(s.Start(p)) != time.Duration(s.Minutes)*time.Minute {
			t.Fatal("periods do not follow each other")
		}
		run := s.RunStart(now)
		if now.Sub(run) < 0 || now.Sub(run) >= s.run()+s.Voting {
			t.Fatalf("the run of %v began at %v", now, run)
		}
	})
}

// C tor's test_time_between_tp_and_srv.
func TestNewPeriod(t *testing.T) {
	for now, want := range map[string]bool{
		"1985-10-26 00:00:00": false, "1985-10-26 11:00:00": false,
		"1985-10-26 12:00:00": true, "1985-10-26 23:00:00": true,
		"1985-10-27 00:00:00": false,
	} {
		if n := (Network{Schedule: live, ValidAfter: at(t, now)}); n.NewPeriod() != want {
			t.Errorf("%s: %v", now, !want)
		}
	}
}

// C tor's six scenarios of a service and a client whose consensuses differ: the
// client finds each of its directories among those that the service uploads to.
func TestReachability(t *testing.T) {
	one, two := &[32]byte{1}, &[32]byte{2}
	tests := []struct {
		name            string
		service, client string
		sCur, sPrev     *[32]byte
		cCur, cPrev     *[32]byte
	}{
		{"both after TP#1", "1985-10-26 13:00:00", "1985-10-26 15:00:00", two, nil, two, nil},
		{"service before SRV#2, client after", "1985-10-26 23:00:00", "1985-10-27 01:00:00", one, nil, two, one},
		{"both after SRV#2", "1985-10-27 03:00:00", "1985-10-27 05:00:00", two, one, two, one},
		{"service before TP#2, client after", "1985-10-27 11:00:00", "1985-10-27 13:00:00", two, one, two, one},
		{"service after SRV#2, client before", "1985-10-27 01:00:00", "1985-10-26 23:00:00", two, one, one, nil},
		{"service after TP#2, client before", "1985-10-27 13:00:00", "1985-10-27 11:00:00", two, one, two, one},
	}
	rng := rand.NewChaCha8([32]byte{9})
	relays := make([][32]byte, 500)
	for i := range relays {
		relays[i] = random32(rng)
	}
	service := SecretKeyOfSeed([32]byte{4}).Address()
	responsible := func(s Slot, spread int) [][32]byte {
		key, err := service.Blind(s.Period)
		if err != nil {
			t.Fatal(err)
		}
		return NewRing(s, relays).Responsible(key, 2, spread)
	}
	for _, tt := range tests {
		fetch := Network{Schedule: live, ValidAfter: at(t, tt.client), Current: tt.cCur, Previous: tt.cPrev}.Fetch()
		host := Network{Schedule: live, ValidAfter: at(t, tt.service), Current: tt.sCur, Previous: tt.sPrev}
		first, second := host.Store()
		if own := host.Fetch(); own != first && own != second {
			t.Errorf("%s: the service would not find itself", tt.name)
		}
		asked := responsible(fetch, 3)
		stored := append(responsible(first, 4), responsible(second, 4)...)
		if len(asked) != 6 || len(stored) != 16 {
			t.Fatalf("%d asked, %d stored at", len(asked), len(stored))
		}
		for _, id := range asked {
			if !slices.Contains(stored, id) {
				t.Errorf("%s: a directory that the client asks has no descriptor", tt.name)
			}
		}
	}
}

// C tor's vectors of the two indices (hs_indexes.py).
func TestIndexVectors(t *testing.T) {
	fill := func(c byte) (b [32]byte) {
		for i := range b {
			b[i] = c
		}
		return b
	}
	p := Period{Number: 42, Minutes: 1440}
	place := serviceIndex(fill(0x42), 1, p)
	if got := hex.EncodeToString(place[:]); got != "37e5cbbd56a22823714f18f1623ece5983a0d64c78495a8cfab854245e5f9a8a" {
		t.Errorf("service index %s", got)
	}
	node := relayIndex(fill(0x42), Slot{Period: p, Random: fill(0x43)})
	if got := hex.EncodeToString(node[:]); got != "db475361014a09965e7e5e4d4a25b8f8d4b8f16cb1d8a7e95eed50249cc1a2d5" {
		t.Errorf("relay index %s", got)
	}
}

func TestDisasterValue(t *testing.T) {
	n := Network{Schedule: live, ValidAfter: at(t, "2016-04-13 13:00:00"), Current: &[32]byte{1}}
	first, second := n.Store()
	if !first.Disaster || second.Disaster || second.Random != [32]byte{1} {
		t.Errorf("without a previous value: %+v, %+v", first, second)
	}
	got := disasterValue(Period{Number: 1, Minutes: 1440})
	if hex.EncodeToString(got[:]) != "f8a4948707653837fa44abb5bbc75a12f6f101e7f8faf699b9715f4965d3507d" {
		t.Errorf("%x", got)
	}
}

// A descriptor's slot stays the same, its counter's start too, when the service's
// second descriptor becomes its first.
func TestSlotsRotate(t *testing.T) {
	values := map[int]*[32]byte{0: {10}, 1: {11}, 2: {12}, 3: {13}}
	var before, beforeFirst Slot
	for hour := 24; hour < 72; hour++ {
		day := hour / 24
		n := Network{
			Schedule: live, ValidAfter: at(t, "2016-04-10 00:00:00").Add(time.Duration(hour) * time.Hour),
			Current: values[day], Previous: values[day-1],
		}
		first, second := n.Store()
		switch {
		case hour == 24:
		case hour%24 == 0 && first != before:
			t.Errorf("hour %d: the first descriptor is not what was the second: %+v, %+v", hour, first, before)
		case hour%24 != 0 && (second != before || first != beforeFirst):
			t.Errorf("hour %d: the descriptors moved", hour)
		}
		if second.Period != first.Period.Next() || first.RunStart.After(n.ValidAfter) || second.RunStart.After(n.ValidAfter) {
			t.Errorf("hour %d: %+v, %+v", hour, first, second)
		}
		before, beforeFirst = second, first
	}
}

func TestNewNetwork(t *testing.T) {
	when := at(t, "2026-11-23 12:00:00")
	c := &netdoc.Consensus{
		ValidAfter: when, FreshUntil: when.Add(time.Hour),
		SharedRandCurrent: &netdoc.SharedRand{Value: [32]byte{5}},
		Params:            netdoc.Params{"hsdir_n_replicas": 99, "hsdir_spread_fetch": 0, "hsdir_interval": 720},
	}
	n := NewNetwork(c, false)
	if n.Voting != time.Hour || n.Minutes != 720 || n.Replicas != 16 || n.SpreadFetch != 1 || n.SpreadStore != 4 ||
		n.Previous != nil || *n.Current != [32]byte{5} {
		t.Errorf("%+v", n)
	}
	c.FreshUntil = when.Add(20 * time.Second)
	if n := NewNetwork(c, true); n.Minutes != 8 || n.Voting != 20*time.Second {
		t.Errorf("testing network: %+v", n.Schedule)
	}
	c.FreshUntil = when // no network, but nothing to divide by zero with
	if n := NewNetwork(c, true); n.Voting != time.Second || n.Minutes != 1 {
		t.Errorf("no interval: %+v", n.Schedule)
	}
}

// Section 2.2.3: directories of a lower replica are skipped over, so that no one
// counts twice; a ring smaller than asked gives all it has.
func TestResponsible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.NewChaCha8([32]byte{byte(rapid.IntRange(0, 255).Draw(t, "seed"))})
		relays := make([][32]byte, rapid.IntRange(0, 40).Draw(t, "relays"))
		for i := range relays {
			relays[i] = random32(rng)
		}
		slot := Slot{Period: Period{16903, 1440}, Random: random32(rng)}
		replicas := rapid.IntRange(1, 16).Draw(t, "replicas")
		fetch := rapid.IntRange(1, 8).Draw(t, "fetch")
		key := BlindedKey(random32(rng))
		r := NewRing(slot, append(slices.Clone(relays), relays...))
		got := r.Responsible(key, replicas, fetch)
		if want := min(replicas*fetch, len(relays)); len(got) != want {
			t.Fatalf("%d of %d relays, want %d", len(got), len(relays), want)
		}
		seen := make(map[[32]byte]bool)
		for _, id := range got {
			if seen[id] || !slices.Contains(relays, id) {
				t.Fatal("a directory twice, or none of the ring")
			}
			seen[id] = true
		}
		// One replica, one step further: its choice only grows.
		if a, b := r.Responsible(key, 1, fetch), r.Responsible(key, 1, fetch+1); !slices.Equal(a, b[:len(a)]) {
			t.Fatal("a wider spread chooses others")
		}
	})
}
