package testnet

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

func deadline(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestOptionsAreChecked(t *testing.T) {
	for name, o := range map[string]Options{
		"no authority":          {Auths: -1},
		"too many nodes":        {Relays: maxNodes},
		"more guards":           {Relays: 2, Guards: 3},
		"detached in no place":  {Detached: true},
		"interval too short":    {VotingInterval: time.Second},
		"interval off the day":  {VotingInterval: 7 * time.Minute},
		"interval too long":     {VotingInterval: time.Hour, SharedRandom: true},
		"unknown parameter set": {Params: "quick"},
		"no keyword":            {Override: map[string]int32{"a b": 1}},
		"quote":                 {Override: map[string]int32{`a"`: 1}},
	} {
		if _, err := Start(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	o, err := Options{}.withDefaults()
	if err != nil || o.Auths != 3 || o.Relays != 6 || o.Exits != 3 || o.Guards != 4 || o.Onions != 1 {
		t.Errorf("defaults %+v, error %v", o, err)
	}
}

// C tor rejects a vote whose parameters are not sorted (dir-spec 3.4.1).
func TestConsensusParams(t *testing.T) {
	o := Options{Params: ParamsFast, Override: map[string]int32{"cc_alg": 0, "Zeta": -3}}
	got := strings.Fields(o.consensusParams())
	if !slices.IsSorted(got) {
		t.Errorf("not sorted: %v", got)
	}
	for _, want := range []string{"cc_alg=0", "Zeta=-3", "cc_cwnd_min=1000", "cfx_enabled=1"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in %v", want, got)
		}
	}
	if slices.Contains(got, "cc_alg=2") || slices.Contains(got, "cc_cwnd_min=124") {
		t.Errorf("an overridden value is there too: %v", got)
	}
}

// dir-spec 3.1: the certificate is signed by the identity key up to and including
// "dir-key-certification\n", the cross certificate by the signing key.
func TestAuthorityCertificateVerifies(t *testing.T) {
	identity, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signing, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cert, err := authorityCertificate(identity, signing, "127.0.0.1:9030", now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	const last = "dir-key-certification\n"
	head, _, ok := strings.Cut(string(cert), last)
	if !ok || !strings.Contains(head, "dir-key-published 2026-01-02 03:04:05\ndir-key-expires 2026-01-02 04:04:05\n") {
		t.Fatalf("certificate:\n%s", cert)
	}
	var cross, sig []byte
	for rest := cert; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		switch b.Type {
		case "ID SIGNATURE":
			cross = b.Bytes
		case "SIGNATURE":
			sig = b.Bytes
		}
	}
	digest := sha1.Sum([]byte(head + last))
	if err := rsa.VerifyPKCS1v15(&identity.PublicKey, crypto.Hash(0), digest[:], sig); err != nil {
		t.Errorf("certification: %v", err)
	}
	fp := fingerprint(&identity.PublicKey)
	if err := rsa.VerifyPKCS1v15(&signing.PublicKey, crypto.Hash(0), fp[:], cross); err != nil {
		t.Errorf("cross certification: %v", err)
	}
}

func TestClaimsDoNotMeet(t *testing.T) {
	a, err := claimAddresses(14, orPort, dirPort)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := claimAddresses(blockOctets+1, orPort, dirPort)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if len(b.anchors) != 2 {
		t.Errorf("%d blocks for %d addresses", len(b.anchors), blockOctets+1)
	}
	for i := range 14 {
		for j := range blockOctets + 1 {
			if a.addr(i) == b.addr(j) {
				t.Errorf("both claims have %s", a.addr(i))
			}
		}
	}
	if c := claimBlocks(a.block, 1); c != nil {
		t.Error("a claimed block was claimed again")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	c := claimBlocks(a.block, 1)
	if c == nil {
		t.Fatal("a block given back could not be claimed")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if claimBlocks(lastBlock, 2) != nil {
		t.Error("claimed a block beyond the last")
	}
}

func TestMissingTorNamesThePackage(t *testing.T) {
	_, err := findTor([]string{"no-such-program", filepath.Join(t.TempDir(), "tor")})
	if !errors.Is(err, ErrNoTor) || !strings.Contains(err.Error(), `package "tor"`) {
		t.Errorf("error %v", err)
	}
}

// Somebody's tail -f in the directory is not of the network.
func TestOnlyItsOwnProcessesAreOwned(t *testing.T) {
	dir := t.TempDir()
	torrc := filepath.Join(dir, nodesDir, "auth1", "torrc")
	if err := os.MkdirAll(filepath.Dir(torrc), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(torrc, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bystander := exec.CommandContext(t.Context(), "tail", "-f", torrc)
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = bystander.Process.Kill()
		_ = bystander.Wait() // killed
	}()
	if got, err := owned(dir); err != nil || len(got) != 0 {
		t.Errorf("owned: %v, error %v", got, err)
	}
	if err := endAll(dir); err != nil {
		t.Error(err)
	}
}

func TestForeignDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	keep := filepath.Join(dir, "letter.txt")
	if err := os.WriteFile(keep, []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{Dir: dir}); err == nil {
		t.Error("a network started among somebody's files")
	}
	if _, err := os.Stat(keep); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"/tmp/" + strings.Repeat("x", 100), "/tmp/a b"} {
		if _, err := Start(t.Context(), Options{Dir: bad}); err == nil {
			t.Errorf("a network started in %q", bad)
		}
		if _, err := os.Stat(bad); err == nil {
			t.Errorf("%q was made", bad)
		}
	}
}

// What a node prints as it fails to start is in the error, and nothing is left.
func TestBadTorrcFailsAtOnce(t *testing.T) {
	o := small
	o.Dir = filepath.Join(t.TempDir(), "n")
	o.Torrc = map[string][]string{"relay1": {"NoSuchOption 1"}}
	_, err := Start(t.Context(), o)
	if !errors.Is(err, ErrDied) || !strings.Contains(err.Error(), "NoSuchOption") {
		t.Errorf("error %v", err)
	}
	if left, err := owned(o.Dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, error %v", left, err)
	}
}

func TestAttachSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	if _, err := Attach(dir); !errors.Is(err, ErrNoNetwork) {
		t.Errorf("empty directory: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, stateFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Attach(dir); err == nil || !strings.Contains(err.Error(), stateFile) {
		t.Errorf("half a file: %v", err)
	}
}

func TestTargetCommandIsNotForPeople(t *testing.T) {
	for _, args := range [][]string{nil, {"--testnet-dir=/x", "more"}, {"--what"}} {
		if code := TargetMain(args); code != 2 {
			t.Errorf("%v: exit status %d", args, code)
		}
	}
}

// At any second of a day there soon is a schedule that holds the first vote back in the phase of
// the shared random protocol that it is.
func TestVotesAreHeldBackInPhase(t *testing.T) {
	midnight := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	for _, voting := range []time.Duration{10 * time.Second, 20 * time.Second, time.Minute} {
		phase, longest, all := roundsPerPhase*voting, time.Duration(0), time.Duration(0)
		for at := midnight; at.Before(midnight.Add(24 * time.Hour)); at = at.Add(37 * time.Second) {
			wait := inPhase(at, voting)
			longest, all = max(longest, wait), all+wait
			now := at.Add(wait)
			s, first, ok := hold(now, voting)
			if !ok || 1800%int(s.interval.Seconds()) != 0 || s.offset != 0 || first.Unix()%int64(s.interval.Seconds()) != 0 || first.Sub(now) > s.interval {
				t.Fatalf("%v, %v: waits %v, %+v, %v", voting, at, wait, s, first)
			}
			if first.Sub(now) < holdFor || now.Truncate(phase) != first.Truncate(phase) {
				t.Fatalf("%v, %v: the first vote is at %v", voting, at, first)
			}
			if by := func(i time.Duration) bool { return first.Unix()/int64(i.Seconds())%24 >= 12 }; by(voting) != by(s.interval) {
				t.Fatalf("%v, %v: %+v is in another phase", voting, at, s)
			}
		}
		t.Logf("%v: waits %v at most, %v on average", voting, longest, all/(86400/37))
		if longest > 3*phase {
			t.Errorf("%v: waits %v", voting, longest)
		}
	}
}
