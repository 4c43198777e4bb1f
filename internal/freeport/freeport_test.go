package freeport

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"chive/internal/leak"
)

const child = "CHIVE_FREEPORT_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(child) != "" {
		a, err := Address()
		if err != nil {
			a = err.Error()
		}
		os.Stdout.WriteString(a)
		return
	}
	leak.Main(m)
}

// More than a slice has, all different, below the kernel's, and none that somebody has.
func TestTake(t *testing.T) {
	ip := netip.MustParseAddr("127.0.0.1")
	first, err := Take(ip)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{first: true}
	taken, err := net.ListenPacket("udp", at(ip, first+1))
	if err == nil {
		defer taken.Close()
		seen[first+1] = true
	}
	for range 2 * slice {
		p, err := Take(ip)
		if err != nil {
			t.Fatal(err)
		}
		if seen[p] || p < begin || p >= chosen() {
			t.Fatalf("%d, after %v", p, seen)
		}
		seen[p] = true
	}
	if six, err := Take(netip.IPv6Loopback()); err != nil || seen[six] {
		t.Fatalf("%d, %v", six, err)
	}
}

// Another process gets none of this one's slices.
func TestProcessesShareNone(t *testing.T) {
	mine, err := Address()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	other, err := netip.ParseAddrPort(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	dealt.Lock()
	defer dealt.Unlock()
	for _, l := range dealt.held {
		if p := l.Addr().(*net.TCPAddr).Port; int(other.Port()) >= p && int(other.Port()) < p+slice {
			t.Fatalf("%s, and here %s", other, mine)
		}
	}
}

// A kernel that chooses from nearly all ports leaves some to deal out nevertheless.
func TestEnd(t *testing.T) {
	for text, want := range map[string]int{
		"32768\t60999\n": 32768, "20000 65535": 20000, "16000 65535": 32768, "1024 65000": 32768, "": 32768,
	} {
		if got := end(text); got != want {
			t.Errorf("%q: %d, not %d", text, got, want)
		}
	}
}
