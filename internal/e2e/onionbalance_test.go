package e2e

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"chive/actors/keystore"
	"chive/internal/testnet"
)

// responsible is how many directories take the descriptor of a period.
const responsible = 8

// balanced starts a frontend by the program OnionBalance, with C tor under it, and waits
// until it is published.
func balanced(t *testing.T, n *testnet.Network, program, key string, backends ...string) {
	t.Helper()
	dir := t.TempDir()
	control := filepath.Join(dir, "c")
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ctor(t, n, "frontend", "ControlSocket "+control)
	var config strings.Builder
	fmt.Fprintf(&config, "services:\n- key: %s\n  instances:\n", key)
	for i, b := range backends {
		fmt.Fprintf(&config, "  - address: %s\n    name: backend%d\n", b, i)
	}
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--is-testnet", "-v", "debug", "-s", control, "-c", file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	published, log := make(chan struct{}), make(chan string, 1)
	go func() {
		var all strings.Builder
		uploads := 0
		for s := bufio.NewScanner(out); s.Scan(); {
			fmt.Fprintln(&all, s.Text())
			if strings.Contains(s.Text(), "Successfully uploaded descriptor") {
				if uploads++; uploads == responsible {
					close(published)
				}
			}
		}
		_ = out.Close()
		log <- all.String()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if text := <-log; t.Failed() {
			t.Log(text)
		}
	})
	select {
	case <-published:
	case <-time.After(4 * time.Minute):
		t.Fatal("the frontend is not published")
	}
}

// TestOnionBalance: two services of chive are backends of a frontend that the program
// OnionBalance publishes; clients of C tor and of chive who ask for the frontend are met by
// them. It runs when CHIVE_ONIONBALANCE names the program (PyPI: onionbalance).
func TestOnionBalance(t *testing.T) {
	program := os.Getenv("CHIVE_ONIONBALANCE")
	if program == "" {
		t.Skip("CHIVE_ONIONBALANCE names no program")
	}
	n, err := testnet.Start(t.Context(), testnet.Options{VotingInterval: 20 * time.Second, Onions: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	open := func(name string) (dir, address string) {
		dir = filepath.Join(t.TempDir(), name)
		s, err := keystore.OpenService(dir, false, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return dir, s.Address.Host()
	}
	home, front := open("front")
	lines := n.ClientTorrc()
	var backends []string
	for _, name := range []string{"one", "two"} {
		dir, address := open(name)
		if err := os.WriteFile(filepath.Join(dir, "ob_config"), []byte("MasterOnionAddress "+front+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		backends = append(backends, address)
		lines = append(lines, "HiddenServiceDir "+dir, "HiddenServiceOnionBalanceInstance 1",
			fmt.Sprintf("HiddenServicePort 80 %v:%d", n.Target().IP, n.Target().HTTPPort))
	}
	c := hosts(t, t.TempDir(), 4, lines...)
	balanced(t, n, program, filepath.Join(home, "hs_ed25519_secret_key"), backends...)
	tor := ctor(t, n, "visitor")
	client := start(t, n)
	for i := range 8 {
		tor.fetchOnion(t, fmt.Sprint("user", i), front, 100_000)
		client.fetchOnion(t, fmt.Sprint("user", i), front, 100_000)
	}
	met := map[string]int{}
	for _, e := range c.logged() {
		if e.GetHostingMet() != nil {
			met[e.GetActorId()]++
		}
	}
	t.Logf("met by backends: %v", met)
	if len(met) != 2 {
		t.Errorf("%d backends met clients", len(met))
	}
	for _, b := range backends { // they are found by their own names as well
		tor.fetchOnion(t, "own", b, 10_000)
	}
}
