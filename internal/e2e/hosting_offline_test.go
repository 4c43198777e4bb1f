package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"chive/actors/keystore"
	"chive/internal/testnet"
	"chive/messages/chivev1"
)

// public is the schedule of a network that votes once an hour.
var public = keystore.Wanted{Length: 24 * time.Hour, Voting: time.Hour}

// delegate makes what a host gets, for so many periods from now, with a new key unless
// there is one. It gives the service's name.
func delegate(t *testing.T, home, dir string, w keystore.Wanted, periods int) string {
	t.Helper()
	w.From, w.Periods, w.New = time.Now(), periods, true
	d, err := keystore.Delegate(home, dir, w)
	if err != nil {
		t.Fatal(err)
	}
	return d.Host
}

// since gives how many events of the node, from a place on, are so.
func (c *reloadable) since(from int, so func(*chivev1.Envelope) bool) (n int) {
	log, _ := c.events(from)
	for _, e := range log {
		if so(e) {
			n++
		}
	}
	return n
}

func isPublished(e *chivev1.Envelope) bool { return e.GetHostingPublished() != nil }

func warnsOfKeys(e *chivev1.Envelope) bool {
	return e.GetHostingDelegationEnding() != nil && !e.GetHostingDelegationEnding().GetOver()
}

func saysKeysAreOver(e *chivev1.Envelope) bool { return e.GetHostingDelegationEnding().GetOver() }

// TestHostingOffline: services whose identity key is elsewhere are found by clients of C tor
// and of chive. One has it taken away while it runs.
func TestHostingOffline(t *testing.T) {
	t.Parallel()
	l := startHostingLab(t)
	key, dir := filepath.Join(t.TempDir(), "key"), filepath.Join(t.TempDir(), "host")
	away := delegate(t, key, dir, public, 2)
	home, carried := filepath.Join(t.TempDir(), "home"), filepath.Join(t.TempDir(), "carried")
	leaves := delegate(t, home, carried, public, 30)
	lines := []string{"HiddenServiceDir " + dir, "HiddenServicePort 80 " + l.http, "HiddenServiceDir " + home, "HiddenServicePort 80 " + l.http}
	c := startReloadable(t, l.Network, nil, lines...)
	c.until(t, patience, "both services are published", func() bool { return c.since(0, isPublished) >= 4 })
	if n := c.since(0, warnsOfKeys); n != 1 {
		t.Errorf("told %d times that the keys of two days run out", n)
	}
	tor := ctor(t, l.Network, "visitor")
	tor.fetchOnion(t, "", away, 1<<20)

	for from, to := range map[string]string{
		filepath.Join(home, "hs_ed25519_secret_key"):    filepath.Join(carried, "key"),
		filepath.Join(carried, keystore.DelegationFile): filepath.Join(home, keystore.DelegationFile),
	} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	_, at := c.events(0)
	// One more introduction point has it make its descriptors anew, with the keys it has now.
	c.write(append(lines, "HiddenServiceNumIntroductionPoints 4")...)
	if _, err := c.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.until(t, patience, "it is published without its key", func() bool { return c.since(at, isPublished) >= 2 })
	tor.fetchOnion(t, "", leaves, 1<<20)
	start(t, l.Network).fetchOnion(t, "", away, 100_000)
	if n := c.since(at, warnsOfKeys); n != 0 {
		t.Errorf("told %d times that keys of 30 days run out", n)
	}
}

// TestHostingOfflinePeriods: a service whose keys are for one period is found all the time,
// tells when they have run out, and goes on with those that are brought then. A period takes
// four minutes here: the test runs when CHIVE_ONION_PERIODS is set.
func TestHostingOfflinePeriods(t *testing.T) {
	if os.Getenv("CHIVE_ONION_PERIODS") == "" {
		t.Skip("CHIVE_ONION_PERIODS is not set")
	}
	n, err := testnet.Start(t.Context(), testnet.Options{VotingInterval: 10 * time.Second, Onions: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	quick := keystore.Wanted{Length: 4 * time.Minute, Voting: 10 * time.Second}
	key, dir := filepath.Join(t.TempDir(), "key"), filepath.Join(t.TempDir(), "host")
	address := delegate(t, key, dir, quick, 1)
	c := startReloadable(t, n, nil, "HiddenServiceDir "+dir, fmt.Sprintf("HiddenServicePort 80 %v:%d", n.Target().IP, n.Target().HTTPPort))
	c.until(t, patience, "the service is published", func() bool { return c.since(0, isPublished) >= 2 })
	tor := ctor(t, n, "visitor")
	visits := 0
	visit := func(until func() bool, patience time.Duration) {
		tick := time.NewTicker(8 * time.Second)
		defer tick.Stop()
		for began := time.Now(); !until(); <-tick.C {
			if time.Since(began) > patience {
				t.Fatalf("after %d visits it is not so far", visits)
			}
			tor.fetchOnion(t, fmt.Sprint("user", visits), address, 10_000)
			visits++
		}
	}
	visit(func() bool { return c.since(0, saysKeysAreOver) > 0 }, 6*time.Minute)
	_, at := c.events(0)
	delegate(t, key, dir, quick, 3)
	if _, err := c.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	visit(func() bool {
		return c.since(at, func(e *chivev1.Envelope) bool { return e.GetHostingDescribed().GetReason() == "first" }) >= 1
	}, 6*time.Minute)
	last := visits + 18 // two minutes later clients look for that period
	visit(func() bool { return visits >= last }, 6*time.Minute)
	t.Logf("visited %d times", visits)
	if c.since(at, saysKeysAreOver) > 0 {
		t.Error("the new keys are over as well")
	}
}
