package directory

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"chive/messages"
	"chive/tor/netdoc/netdoctest"
)

// left is a shared directory in memory.
type left struct {
	copy    *messages.DirectoryCopy
	offered []messages.DirectoryCopy
}

func (l *left) FetchDirectory(context.Context) (messages.DirectoryCopy, error) {
	if l.copy == nil {
		return messages.DirectoryCopy{}, errors.New("nothing was left")
	}
	return *l.copy, nil
}

func (l *left) OfferDirectory(c messages.DirectoryCopy) { l.offered = append(l.offered, c) }

func copyOf(docs *netdoctest.Network) *messages.DirectoryCopy {
	return &messages.DirectoryCopy{ValidAfter: docs.ValidAfter, Consensus: docs.Consensus, Certs: docs.Certs, Microdescs: docs.Microdescs}
}

// A node that starts with nothing takes what the fleet has, verified, and asks nobody.
func TestBootstrapFromTheFleet(t *testing.T) {
	n := &network{docs: documents()}
	dir := t.TempDir()
	b := newBench(t, n, dir, duringValidity(n.docs))
	l := &left{copy: copyOf(n.docs)}
	b.o.Shared = l
	b.fromOthers(t.Context())
	if err := b.once(t); err != nil || !b.enough() || len(n.asked) != 0 {
		t.Fatalf("%v, enough %v, asked %v, rejected %v", err, b.enough(), n.asked, b.rejected())
	}
	b.offer()
	b.offer() // once is enough
	if len(l.offered) != 1 || !bytes.Equal(l.offered[0].Consensus, n.docs.Consensus) {
		t.Errorf("%d offered", len(l.offered))
	}
	again := newBench(t, n, dir, duringValidity(n.docs)) // it was kept
	again.load()
	again.o.Shared = &left{copy: &messages.DirectoryCopy{}}
	again.fromOthers(t.Context()) // and the fleet is not asked
	if !again.enough() || len(again.rejected()) != 0 {
		t.Errorf("from the cache: enough %v, rejected %v", again.enough(), again.rejected())
	}
}

// What the fleet has is believed no more than what a stranger says.
func TestBadDirectoryOfTheFleet(t *testing.T) {
	docs := documents()
	for name, c := range map[string]struct {
		spoil func(*messages.DirectoryCopy)
		later time.Duration
		want  string
	}{
		"nothing": {func(c *messages.DirectoryCopy) { *c = messages.DirectoryCopy{} }, 0, "document-invalid"},
		"forged": {func(c *messages.DirectoryCopy) {
			c.Consensus = bytes.Replace(c.Consensus, []byte("\ns "), []byte("\ns  "), 1)
		}, 0, "document-untrusted"},
		"one signature":  {func(c *messages.DirectoryCopy) { c.Consensus = docs.ConsensusSignedBy(0) }, 0, "document-untrusted"},
		"no certificate": {func(c *messages.DirectoryCopy) { c.Certs = nil }, 0, "document-untrusted"},
		// A cache of the node's own would still do: dir-spec's "reasonably live".
		"a little old": {func(*messages.DirectoryCopy) {}, docs.ValidUntil.Sub(duringValidity(docs)) + time.Minute, "document-stale"},
	} {
		t.Run(name, func(t *testing.T) {
			n := &network{docs: docs}
			b := newBench(t, n, t.TempDir(), duringValidity(docs).Add(c.later))
			l := &left{copy: copyOf(docs)}
			c.spoil(l.copy)
			b.o.Shared = l
			b.fromOthers(t.Context())
			if b.consensus != nil || b.enough() {
				t.Fatal("it was believed")
			}
			if got := b.rejected(); len(got) == 0 || got[len(got)-1] != c.want {
				t.Errorf("rejected as %v, want %s", got, c.want)
			}
			if err := b.once(t); c.later == 0 && (err != nil || !b.enough()) {
				t.Errorf("from a directory afterwards: %v", err)
			}
		})
	}
}

// Without a copy, or with one that lacks something, directories are asked.
func TestPartOfADirectory(t *testing.T) {
	for name, c := range map[string]*messages.DirectoryCopy{
		"none":               nil,
		"no microdescriptor": {Consensus: documents().Consensus, Certs: documents().Certs},
	} {
		t.Run(name, func(t *testing.T) {
			n := &network{docs: documents()}
			b := newBench(t, n, t.TempDir(), duringValidity(n.docs))
			l := &left{copy: c}
			b.o.Shared = l
			b.fromOthers(t.Context())
			b.offer()
			if len(l.offered) != 0 {
				t.Error("half a directory was offered")
			}
			if err := b.once(t); err != nil || !b.enough() || len(n.asked) == 0 {
				t.Errorf("%v, enough %v, asked %v", err, b.enough(), n.asked)
			}
		})
	}
}

// memory is what a node knows of consensuses, without a journal.
type memory struct {
	newest time.Time
	told   int
}

func (m *memory) NewestConsensus() time.Time { return m.newest }

func (m *memory) ConsensusVerified(at time.Time, _ [32]byte) { m.newest, m.told = at, m.told+1 }

// A cache that was put back to an older consensus is refused, and what directories have
// is taken; late directories may be a little behind.
func TestRollback(t *testing.T) {
	docs := documents()
	n := &network{docs: docs}
	dir := t.TempDir()
	first := newBench(t, n, dir, duringValidity(docs))
	m := &memory{}
	first.o.Memory = m
	if err := first.once(t); err != nil || m.told != 1 || !m.newest.Equal(docs.ValidAfter) {
		t.Fatalf("%v, told %d times, %v", err, m.told, m.newest)
	}
	for ahead, want := range map[time.Duration]bool{rollbackTime - time.Minute: true, rollbackTime + time.Minute: false} {
		b := newBench(t, n, dir, duringValidity(docs))
		b.o.Memory = &memory{newest: docs.ValidAfter.Add(ahead)}
		b.load()
		if b.enough() != want {
			t.Errorf("%v behind the newest: taken %v; rejected %v", ahead, b.enough(), b.rejected())
		}
		if !want && (len(b.rejected()) == 0 || b.rejected()[0] != "document-stale") {
			t.Errorf("rejected as %v", b.rejected())
		}
	}
}
