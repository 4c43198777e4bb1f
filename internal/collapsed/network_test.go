package collapsed

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"chive/internal/leak"
	"chive/tor/netdoc"
)

func TestMain(m *testing.M) { leak.Main(m) }

func start(t *testing.T, o Options) *Network {
	t.Helper()
	n, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// A client believes the directory, and every relay in it listens where it says.
func TestDirectory(t *testing.T) {
	for _, cgo := range []bool{false, true} {
		n := start(t, Options{CGO: cgo})
		body, _ := n.docs.find("/tor/status-vote/current/consensus-microdesc/ABCDEF")
		consensus, err := netdoc.ParseConsensus(body)
		if err != nil {
			t.Fatal(err)
		}
		body, _ = n.docs.find("/tor/keys/fp-sk/whatever")
		certs, err := netdoc.ParseAuthCerts(body)
		if err != nil {
			t.Fatal(err)
		}
		line := n.Torrc()[len(n.Torrc())-1]
		_, ident, _ := strings.Cut(line, "v3ident=")
		trusted, err := netdoc.ParseDigest(ident[:40])
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if _, err := consensus.Verify([]netdoc.Digest{trusted}, certs, time.Now()); err != nil {
			t.Error(err)
		}
		guards, exits := 0, 0
		for _, r := range consensus.Relays {
			if r.Flags.Has(netdoc.FlagGuard) {
				guards++
			}
			if r.Flags.Has(netdoc.FlagExit) {
				exits++
			}
			if got := r.Protocols.Supports(netdoc.ProtoRelay, 6); got != cgo {
				t.Errorf("%s offers CGO: %v, want %v", r.Nickname, got, cgo)
			}
			if _, ok := n.docs.find("/tor/micro/d/" + r.MD.String()); !ok {
				t.Errorf("%s has no microdescriptor", r.Nickname)
			}
			c, err := net.Dial("tcp", r.IPv4.String())
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		if guards != 2 || exits != 2 || len(consensus.Relays) != len(roles) {
			t.Errorf("%d guards and %d exits among %d relays", guards, exits, len(consensus.Relays))
		}
	}
}

func TestDirectoryAnswersWhatIsAsked(t *testing.T) {
	n := start(t, Options{})
	var digests []string
	for d := range n.docs.microdescs {
		digests = append(digests, d)
	}
	slices.Sort(digests)
	body, ok := n.docs.find("/tor/micro/d/" + strings.Join(digests[:2], "-"))
	if want := string(n.docs.microdescs[digests[0]]) + string(n.docs.microdescs[digests[1]]); !ok || string(body) != want {
		t.Errorf("two microdescriptors are\n%s\nwant\n%s", body, want)
	}
	for _, path := range []string{"/", "/tor/server/all", "/tor/micro/d/none"} {
		if body, ok := n.docs.find(path); ok {
			t.Errorf("%s is %q", path, body)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]int64{SourceName(0): 0, SourceName(1 << 40): 1 << 40} {
		if n, ok := size(name, sourceDomain); !ok || n != want {
			t.Errorf("%s: %d, %v", name, n, ok)
		}
	}
	for _, name := range []string{SinkName(1), "source.test", "-1.source.test", "x.source.test", HoldName, ""} {
		if n, ok := size(name, sourceDomain); ok {
			t.Errorf("%s is a source of %d bytes", name, n)
		}
	}
}
