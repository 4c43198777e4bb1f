package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"chive/internal/testnet"
	"chive/messages/chivev1"
)

// pairsLab has each kind of service hosted by each program.
type pairsLab struct {
	*testnet.Network
	private, guarded map[string]string // addresses by who hosts
	key              string            // of the authorised client
	host             *client           // chive's
}

// startPairsLab starts them in a network of o, chive's host with more lines.
func startPairsLab(t *testing.T, o testnet.Options, lines ...string) *pairsLab {
	t.Helper()
	key, public := clientKey(t)
	o.Onions, o.OnionClients = 2, map[string][]string{"onion1": {public}}
	o.Torrc = map[string][]string{"onion2": fewMet}
	n := testnet.ForTest(t, o)
	l := &pairsLab{Network: n, key: key}
	private, guarded := filepath.Join(t.TempDir(), "private"), filepath.Join(t.TempDir(), "guarded")
	letIn(t, private, "one", public)
	port := fmt.Sprintf("HiddenServicePort 80 %v:%d", n.Target().IP, n.Target().HTTPPort)
	lines = append(append(n.ClientTorrc(), lines...), "HiddenServiceDir "+private, port, "HiddenServiceDir "+guarded, port)
	l.host = hosts(t, t.TempDir(), 4, append(lines, fewMet...)...)
	l.private = map[string]string{"chive": addressOf(t, private)}
	l.guarded = map[string]string{"chive": addressOf(t, guarded)}
	for name, of := range map[string]map[string]string{"onion1": l.private, "onion2": l.guarded} {
		x, _ := n.Node(name)
		of["C tor"] = x.Address
	}
	return l
}

// keys is a ClientOnionAuthDir that lets into both private services.
func (l *pairsLab) keys(t *testing.T) string {
	t.Helper()
	dir := keyDir(t, auth(l.private["chive"], l.key))
	if err := os.WriteFile(filepath.Join(dir, "b.auth_private"), []byte(auth(l.private["C tor"], l.key)), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// oneDirectory has one directory for each period of a service. With the usual 8, of which clients
// ask 6, any of this network's few directories would do, wherever a program looks for it.
var oneDirectory = map[string]int32{"hsdir_n_replicas": 1, "hsdir_spread_store": 1, "hsdir_spread_fetch": 1}

// TestOnionPairs: chive and C tor visit what either hosts, for authorised clients and under a
// flood of introductions that pay nothing.
func TestOnionPairs(t *testing.T) {
	l := startPairsLab(t, testnet.Options{Override: oneDirectory})
	dir := l.keys(t)
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
	f := floods(t, l.Network, address)
	defer f.stop()
	const often = 4 // on a busy machine the flood may ebb, and who pays nothing is let in, too
	for range often {
		f.bars(t)
		// A short build timeout has who is not met try again soon.
		payer := start(t, l.Network, "LearnCircuitBuildTimeout 0", "CircuitBuildTimeout 3 seconds")
		tries, err := payer.insists(f.ctx, address)
		efforts := map[uint32]int{}
		payer.count(func(e *chivev1.Envelope) bool {
			if i := e.GetServiceIntroduced(); i != nil && i.GetOutcome() == chivev1.Outcome_OUTCOME_OK {
				efforts[i.GetEffort()]++
			}
			return false
		})
		t.Logf("request %d, %v; introductions by effort: %v; of the flood %d were let in, %d were not", tries, err, efforts, f.let.Load(), f.inVain.Load())
		if err != nil {
			t.Fatal("it is not met")
		}
		delete(efforts, 0)
		if len(efforts) > 0 {
			return
		}
	}
	t.Error("it is not met for its proof of work, before those who pay nothing")
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
