package e2e

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chive/internal/testnet"
	"chive/messages/chivev1"
)

const (
	floodUsers    = 30               // that knock at a time
	floodPatience = 8 * time.Second  // of each of them
	floodMost     = 400              // knocks
	floodTime     = 75 * time.Second // at most
	floodWaiting  = 18               // introductions that wait, before somebody pays: at one a second nobody else is met in time
)

// fewMet are the lines of a service that meets one client a second, who pays most first.
var fewMet = []string{"HiddenServicePoWDefensesEnabled 1", "HiddenServicePoWQueueRate 1", "HiddenServicePoWQueueBurst 1"}

// pairsLab has each kind of service hosted by each program.
type pairsLab struct {
	*testnet.Network
	private, guarded map[string]string // addresses by who hosts
	key              string            // of the authorised client
	host             *client           // chive's
}

func startPairsLab(t *testing.T) *pairsLab {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := base32Key.EncodeToString(key.PublicKey().Bytes())
	n, err := testnet.Start(t.Context(), testnet.Options{
		Onions: 2, OnionClients: map[string][]string{"onion1": {public}}, Torrc: map[string][]string{"onion2": fewMet},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	l := &pairsLab{Network: n, key: base32Key.EncodeToString(key.Bytes())}
	private, guarded := filepath.Join(t.TempDir(), "private"), filepath.Join(t.TempDir(), "guarded")
	if err := os.MkdirAll(filepath.Join(private, "authorized_clients"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(private, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(private, "authorized_clients", "one.auth"), []byte("descriptor:x25519:"+public+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprintf("HiddenServicePort 80 %v:%d", n.Target().IP, n.Target().HTTPPort)
	l.host = hosts(t, t.TempDir(), 4, append(append(n.ClientTorrc(), "HiddenServiceDir "+private, port, "HiddenServiceDir "+guarded, port), fewMet...)...)
	l.private = map[string]string{"chive": addressOf(t, private)}
	l.guarded = map[string]string{"chive": addressOf(t, guarded)}
	for name, of := range map[string]map[string]string{"onion1": l.private, "onion2": l.guarded} {
		x, _ := n.Node(name)
		of["C tor"] = x.Address
	}
	return l
}

// TestOnionPairs: chive and C tor visit what either hosts, for authorised clients and under a
// flood of introductions that pay nothing.
func TestOnionPairs(t *testing.T) {
	l := startPairsLab(t)
	dir := keyDir(t, auth(l.private["chive"], l.key))
	if err := os.WriteFile(filepath.Join(dir, "b.auth_private"), []byte(auth(l.private["C tor"], l.key)), 0o600); err != nil {
		t.Fatal(err)
	}
	tor := ctor(t, l.Network, "visitor", "ClientOnionAuthDir "+dir)
	own := start(t, l.Network, "ClientOnionAuthDir "+dir)
	stranger := map[string]*client{"chive": start(t, l.Network), "C tor": ctor(t, l.Network, "stranger")}

	for name, c := range map[string]*client{"chive": own, "C tor": tor} {
		for host, address := range l.private {
			t.Run(name+" visits "+host+", authorised", func(t *testing.T) { c.fetchOnion(t, "", address, 1<<20) })
			t.Run(name+" visits "+host+", not authorised", func(t *testing.T) {
				if _, code := stranger[name].connect(t, address, 80); code == 0 {
					t.Error("a client without a key is let in")
				}
			})
		}
	}
	for host, address := range l.guarded {
		t.Run("under load, "+host+" hosts", func(t *testing.T) {
			t.Parallel()
			l.payerIsMet(t, address)
		})
	}
}

// payerIsMet: a client of chive is not met while it pays nothing, as nobody pays and others
// were first. When it pays it is, before them. (C tor's client pays what the descriptor suggests
// alone, however often the service does not come; and a service suggests nothing in its first
// five minutes.)
func (l *pairsLab) payerIsMet(t *testing.T, address string) {
	// A short build timeout has who is not met try again soon.
	payer := start(t, l.Network, "LearnCircuitBuildTimeout 0", "CircuitBuildTimeout 3 seconds")
	f := l.flood(t, address)
	tries, err := payer.insists(f.ctx, address)
	waiting := f.waiting()
	f.stop()
	efforts := map[uint32]int{}
	payer.count(func(e *chivev1.Envelope) bool {
		if i := e.GetServiceIntroduced(); i != nil && i.GetOutcome() == chivev1.Outcome_OUTCOME_OK {
			efforts[i.GetEffort()]++
		}
		return false
	})
	t.Logf("request %d, %v; introductions by effort: %v; of the flood's %d were not met, %d of %d paid", tries, err, efforts, waiting, f.introduced(1), f.introduced(0))
	if err != nil || len(efforts) == 0 || efforts[0] > 0 && len(efforts) < 2 || waiting == 0 {
		t.Error("it is not met for its proof of work, before those who pay nothing")
	}
}

// insists asks for a page until it comes or the context ends.
func (c *client) insists(ctx context.Context, address string) (tries int, err error) {
	for tries = 1; ; tries++ {
		_, _, err = c.get(ctx, "payer", bytesOf(address, 1000))
		if err == nil || ctx.Err() != nil {
			return tries, err
		}
	}
}

// flood is many users of one client who knock at a service, each on circuits of its own, and
// are gone before they would pay, as a rule.
type flood struct {
	*client
	ctx  context.Context // for as long as it is to last
	stop func()          // ends it; may be called twice
}

// flood returns when so many introductions wait that nobody else is met in time.
func (l *pairsLab) flood(t *testing.T, address string) *flood {
	t.Helper()
	// It waits for the service as long as a client ever does, so that little fails for which it
	// would pay.
	c := start(t, l.Network, "LearnCircuitBuildTimeout 0", "CircuitBuildTimeout 60 seconds")
	ctx, cancel := context.WithTimeout(t.Context(), floodTime)
	f := &flood{client: c, ctx: ctx}
	var wg sync.WaitGroup
	f.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	t.Cleanup(f.stop)
	var knocks atomic.Int64
	for range floodUsers {
		wg.Go(func() {
			for ctx.Err() == nil {
				k := knocks.Add(1)
				if k > floodMost {
					return
				}
				c.knock(ctx, fmt.Sprint("flood", k), address)
			}
		})
	}
	c.eventually(t, "introductions wait", floodTime, func() bool { return f.waiting() >= floodWaiting })
	return f
}

// introduced counts acknowledged introductions of at least an effort.
func (f *flood) introduced(effort uint32) int {
	return f.count(func(e *chivev1.Envelope) bool {
		i := e.GetServiceIntroduced()
		return i != nil && i.GetOutcome() == chivev1.Outcome_OUTCOME_OK && i.GetEffort() >= effort
	})
}

// waiting is how many were introduced and not met.
func (f *flood) waiting() int {
	return f.introduced(0) - f.count(func(e *chivev1.Envelope) bool { return e.GetServiceJoined() != nil })
}

// knock asks for a stream, and is gone when it comes or takes too long.
func (c *client) knock(ctx context.Context, user, host string) {
	ctx, cancel := context.WithTimeout(ctx, floodPatience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.socks)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	say := "\x05\x01\x02\x01" + string([]byte{byte(len(user))}) + user + "\x01x" +
		"\x05\x01\x00\x03" + string([]byte{byte(len(host))}) + host + "\x00\x50"
	if _, err := io.WriteString(conn, say); err != nil {
		return
	}
	var got [6]byte                  // method, authentication, version and code
	_, _ = io.ReadFull(conn, got[:]) // whatever comes of it
}
