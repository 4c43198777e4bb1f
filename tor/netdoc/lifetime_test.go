package netdoc

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"
)

func at(clock string) time.Time {
	t, err := time.Parse("15:04:05.999999999", clock)
	if err != nil {
		panic(err)
	}
	return t.AddDate(2026, 0, 0)
}

// TestRefreshTime checks the example of dir-spec 5.1: "if a client has a consensus that became valid at 1:00, and
// is fresh until 2:00, and expires at 4:00, that client will fetch a new consensus at a random time between 2:45
// and 3:50".
func TestRefreshTime(t *testing.T) {
	for _, tc := range []struct{ name, after, fresh, until, low, high string }{
		{"the specification's example", "01:00:00", "02:00:00", "04:00:00", "02:45:00", "03:50:37.5"},
		{"a test network's", "00:02:20", "00:02:40", "00:03:00", "00:02:55", "00:02:59.375"},
		{"too short a life", "01:00:00", "02:00:00", "02:30:00", "02:00:00", "02:26:15"},
	} {
		c := &Consensus{ValidAfter: at(tc.after), FreshUntil: at(tc.fresh), ValidUntil: at(tc.until)}
		low, high := at(tc.low), at(tc.high)
		random := rand.NewChaCha8([32]byte{})
		first, last := high, low
		for range 2000 {
			got, err := RefreshTime(c, random)
			if err != nil {
				t.Fatal(err)
			}
			if got.Before(low) || !got.Before(high) {
				t.Fatalf("%s: %v is not in [%v, %v)", tc.name, got, low, high)
			}
			if got.Before(first) {
				first = got
			}
			if got.After(last) {
				last = got
			}
		}
		if margin := high.Sub(low) / 50; first.Sub(low) > margin || high.Sub(last) > margin {
			t.Errorf("%s: 2000 choices lie in [%v, %v], which does not fill [%v, %v)", tc.name, first, last, low, high)
		}
	}
}

func TestRefreshTimeWithoutRandomness(t *testing.T) {
	c := &Consensus{ValidAfter: at("01:00:00"), FreshUntil: at("02:00:00"), ValidUntil: at("04:00:00")}
	if _, err := RefreshTime(c, bytes.NewReader([]byte{1, 2, 3})); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want the reader's", err)
	}
}

func TestCheckTime(t *testing.T) {
	c := &Consensus{ValidAfter: at("01:00:00"), FreshUntil: at("02:00:00"), ValidUntil: at("04:00:00")}
	for _, tc := range []struct {
		now       time.Time
		pre, post time.Duration
		want      error
	}{
		{at("01:00:00"), 0, 0, nil},
		{at("04:00:00"), 0, 0, nil},
		{at("00:59:59"), 0, 0, ErrNotYetValid},
		{at("04:00:01"), 0, 0, ErrExpired},
		{at("00:59:59"), time.Minute, 0, nil},
		{at("00:58:59"), time.Minute, time.Hour, ErrNotYetValid},
		{at("04:00:00").Add(ReasonablyLive), 0, ReasonablyLive, nil},
		{at("04:00:01").Add(ReasonablyLive), 0, ReasonablyLive, ErrExpired},
	} {
		err := c.CheckTime(tc.now, tc.pre, tc.post)
		if !errors.Is(err, tc.want) {
			t.Errorf("CheckTime(%v, %v, %v) = %v, want %v", tc.now, tc.pre, tc.post, err, tc.want)
		}
		var te *TimeError
		if tc.want != nil && (!errors.As(err, &te) || te.Now != tc.now) {
			t.Errorf("CheckTime(%v) = %#v, want a *TimeError", tc.now, err)
		}
	}
}

func TestParseTime(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want time.Time
	}{
		{"2026-07-27 10:00:00", time.Date(2026, 7, 27, 10, 0, 0, 0, time.UTC)},
		{" 2000-02-29\t23:59:59 extra", time.Date(2000, 2, 29, 23, 59, 59, 0, time.UTC)},
		{"2026-07-27", time.Time{}},
		{"2026-07-27T10:00:00", time.Time{}},
		{"2026-13-01 10:00:00", time.Time{}},
		{"2026-02-30 10:00:00", time.Time{}},
		{"2026-07-27 10:00", time.Time{}},
		{"2026-07-27 10:00:00.5", time.Time{}},
		{"", time.Time{}},
	} {
		args := fields(tc.in)
		got, ok := parseTime(&args)
		if ok != !tc.want.IsZero() || (ok && !got.Equal(tc.want)) {
			t.Errorf("parseTime(%q) = %v, %v", tc.in, got, ok)
		}
	}
}
