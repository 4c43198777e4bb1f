package testnet

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chive/internal/testnet/target"
)

// One network for what needs the ordinary shape: starting it is the dear part.
func TestNetwork(t *testing.T) {
	t.Parallel()
	n := ForTest(t, Options{})
	t.Run("every flag in the first consensus", func(t *testing.T) { testFlags(t, n) })
	t.Run("a C tor client fetches", func(t *testing.T) { testClient(t, n) })
	t.Run("nodes die and come back", func(t *testing.T) { testFaults(t, n) })
}

// The consensus is read here by itself, not by the code that plans it.
func testFlags(t *testing.T, n *Network) {
	auth, err := n.find("auth2")
	if err != nil {
		t.Fatal(err)
	}
	text, err := fetch(t.Context(), auth, consensusPath)
	if err != nil {
		t.Fatal(err)
	}
	s := summarise(text)
	if len(s.flags) != 12 || s.signatures < 2 {
		t.Errorf("%d relays, %d signatures", len(s.flags), s.signatures)
	}
	counts := map[string]int{}
	for name, flags := range s.flags {
		if !slices.Contains(flags, "Fast") && !slices.Contains(flags, "Authority") {
			t.Errorf("%s lacks Fast", name)
		}
		for _, f := range flags {
			counts[f]++
		}
	}
	for flag, want := range map[string]int{
		"Running": 12, "Valid": 12, "HSDir": 12, "V2Dir": 12, "Stable": 12,
		"Authority": 3, "Exit": 3, "Guard": 5,
	} {
		if counts[flag] != want {
			t.Errorf("%d relays with %s, want %d", counts[flag], flag, want)
		}
	}
	if !slices.Contains(s.flags["exit3"], "Guard") || !slices.Contains(s.flags["exit3"], "Exit") {
		t.Errorf("exit3 has %v, want Guard and Exit", s.flags["exit3"])
	}
	for _, want := range []string{"cc_alg=2", "cfx_enabled=1", "bwauthpid=1"} {
		if !slices.Contains(strings.Fields(s.params), want) {
			t.Errorf("no %s among the parameters %s", want, s.params)
		}
	}
	for _, want := range []string{"\nshared-rand-current-value ", "\nshared-rand-previous-value ", "\nbandwidth-weights "} {
		if !strings.Contains(text, want) {
			t.Errorf("no line %q", strings.TrimSpace(want))
		}
	}
	if got := strings.Count(text, "Unmeasured=1"); got != 3 {
		t.Errorf("%d relays unmeasured, want the authorities", got)
	}
	testAddresses(t, n)
}

func testAddresses(t *testing.T, n *Network) {
	nets := map[string]string{}
	for _, x := range append(n.Nodes(), Node{Name: "target", IP: n.Target().IP}) {
		p, err := x.IP.Prefix(16)
		if err != nil || !x.IP.IsLoopback() {
			t.Errorf("%s has the address %s", x.Name, x.IP)
		}
		if other, taken := nets[p.String()]; taken {
			t.Errorf("%s and %s are both in %s", x.Name, other, p)
		}
		nets[p.String()] = x.Name
		if x.Name != "target" && x.Role != RoleOnion && (len(x.Fingerprint) != 40 || len(x.Ed25519) != 43) {
			t.Errorf("%s: identities %q and %q", x.Name, x.Fingerprint, x.Ed25519)
		}
	}
}

func testClient(t *testing.T, n *Network) {
	c, err := n.StartClient(t.Context(), "c1", "SocksPort auto IsolateDestPort")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("C tor client bootstrapped in %v", c.Bootstrap)
	const size = 300_000
	sum, port := target.Sum(size), n.Target().HTTPPort
	mustGet(t, c, n.Target().IP.String(), port, size, sum)
	mustGet(t, c, "any.name.test", port, size, sum) // resolved at the exit
	mustGet(t, c, n.Onion(), 80, size, sum)
	const hostUnreachable = 4 // RFC 1928 section 6
	if conn, code, err := socks(t.Context(), c.SocksAddr, "nx.test", port); err != nil || code != hostUnreachable {
		t.Errorf("nx.test: connection %v, SOCKS reply %d, error %v", conn, code, err)
	}
	if cpu, err := CPU(c.PID); err != nil || cpu <= 0 {
		t.Errorf("client's processor time %v, error %v", cpu, err)
	}
	if rss, err := RSS(c.PID); err != nil || rss < 1<<20 {
		t.Errorf("client's memory %d, error %v", rss, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := RSS(c.PID); err == nil {
		t.Error("the client is still there after Close")
	}
}

func testFaults(t *testing.T, n *Network) {
	before, _ := n.Node("relay1")
	if err := n.Kill("relay1"); err != nil {
		t.Fatal(err)
	}
	if _, alive := ownedName(before.PID, n.Dir()); alive {
		t.Error("relay1 is still there after Kill")
	}
	if err := n.Kill("relay1"); err == nil {
		t.Error("a dead relay was killed again")
	}
	if err := n.Restart("relay1"); err != nil {
		t.Fatal(err)
	}
	if after, _ := n.Node("relay1"); after.PID == before.PID || after.Fingerprint != before.Fingerprint {
		t.Errorf("relay1 was %+v, is %+v", before, after)
	}
	for _, step := range []struct {
		f     func(string) error
		state string
	}{{n.Stop, "T"}, {n.Cont, "RSD"}} {
		if err := step.f("relay2"); err != nil {
			t.Fatal(err)
		}
		relay2, _ := n.Node("relay2")
		err := poll(t.Context(), "relay2 to be in state "+step.state, func() (bool, error) {
			b, err := os.ReadFile(filepath.Join("/proc", itoa(relay2.PID), "stat"))
			_, rest, _ := cutLast(string(b), ")")
			return strings.ContainsAny(strings.Fields(rest)[0], step.state), err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if err := n.Stop("nobody"); err == nil {
		t.Error("a node that does not exist was stopped")
	}
}

// A killed process takes its network with it.
func TestKilledProcessLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "n")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), exe)
	child.Env = append(os.Environ(), childDir+"="+dir)
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(stdout)
	if line, err := r.ReadString('\n'); line != "ready\n" {
		rest, _ := io.ReadAll(r)
		t.Fatalf("the child said %q%s, %v", line, rest, err)
	}
	if up, err := owned(dir); err != nil || len(up) != 4 {
		t.Errorf("processes of the child: %v, error %v; want 4", up, err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed
	err = poll(deadline(t, goneWithin), "every tor of a killed process to be gone", func() (bool, error) {
		left, err := owned(dir)
		return len(left) == 0, err
	})
	if err != nil {
		t.Error(err)
	}
}

// Two networks at once, one detached and one not.
func TestDetachedBesideAnother(t *testing.T) {
	t.Parallel()
	other := ForTest(t, small)
	dir := filepath.Join(t.TempDir(), "n")
	if err := Down(dir); !errors.Is(err, ErrNoNetwork) {
		t.Errorf("down of nothing: %v", err)
	}
	t.Cleanup(func() {
		if err := Down(dir); err != nil {
			t.Error(err)
		}
		if err := Status(dir, io.Discard); !errors.Is(err, ErrNoNetwork) {
			t.Errorf("status of a network that is down: %v", err)
		}
	})
	if err := Up(t.Context(), dir, small, func(s string) { t.Log(s) }); err != nil {
		t.Fatal(err)
	}
	if err := Up(t.Context(), dir, small, nil); err == nil {
		t.Error("a second network came up in the directory of the first")
	}
	n, err := Attach(dir)
	if err != nil {
		t.Fatal(err)
	}
	testApart(t, n, other)
	if c := claimBlocks(int(n.Target().IP.As4()[1])/blockOctets, 1); c != nil {
		t.Errorf("the detached network does not hold its addresses: %v", c.Close())
	}
	const size = 100_000
	c, err := n.StartClient(t.Context(), "c1")
	if err != nil {
		t.Fatal(err)
	}
	mustGet(t, c, "target.test", n.Target().HTTPPort, size, target.Sum(size))
	testStatus(t, n)
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if left, err := owned(dir); err != nil || len(left) > 0 {
		t.Errorf("left after Close: %v, error %v", left, err)
	}
	if up, err := owned(other.Dir()); err != nil || len(up) != 4 {
		t.Errorf("of the other network: %v, error %v; want 4 processes", up, err)
	}
}

func testApart(t *testing.T, a, b *Network) {
	used := map[string]bool{}
	for _, x := range a.Nodes() {
		used[x.IP.String()] = true
	}
	for _, x := range b.Nodes() {
		if used[x.IP.String()] {
			t.Errorf("both networks use %s", x.IP)
		}
	}
}

func testStatus(t *testing.T, n *Network) {
	var out strings.Builder
	if err := Status(n.Dir(), &out); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
	for _, want := range []string{"auth1 ", "exit1 ", "target ", "c1 ", "rss", "consensus: 4 relays, 1 signatures", "flags: ", "bandwidth-weights: "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("status lacks %q:\n%s", want, &out)
		}
	}
	if err := n.Kill("relay2"); err != nil {
		t.Fatal(err)
	}
	if err := Status(n.Dir(), io.Discard); !errors.Is(err, ErrDown) {
		t.Errorf("status with a dead relay: %v", err)
	}
	if err := n.Restart("relay2"); err != nil {
		t.Error(err)
	}
	torrc, err := os.ReadFile(filepath.Join(n.Dir(), torrcFile))
	if err != nil || !strings.Contains(string(torrc), strings.Join(n.ClientTorrc(), "\n")) {
		t.Errorf("%s: error %v\n%s", torrcFile, err, torrc)
	}
}
