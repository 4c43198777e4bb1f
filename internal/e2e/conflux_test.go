package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"testing"
	"time"

	"chive/internal/testnet"
	"chive/messages/chivev1"
)

// confluxSet is a conflux set as its events tell it.
type confluxSet struct {
	id      string
	legs    map[string][][]byte // paths of those that are linked, by circuit
	linked  bool
	failed  bool
	closed  *chivev1.CircuitClosed
	streams int // that were attached
}

// sets are the conflux sets in the log, and whose stream went over single circuits.
func (c *client) sets() (sets map[string]*confluxSet, single int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sets = map[string]*confluxSet{}
	paths := map[string][][]byte{}
	general := map[string]bool{}
	for _, e := range c.log {
		id := e.GetActorId()
		if l := e.GetCircuitLaunched(); l != nil {
			paths[id] = l.GetPath()
			general[id] = l.GetPurpose() == chivev1.Purpose_PURPOSE_GENERAL
		}
		if e.GetCircuitSetLaunched() != nil {
			sets[id] = &confluxSet{id: id, legs: map[string][][]byte{}}
		}
		if a := e.GetStreamAttached(); a != nil {
			if s := sets[a.GetCircuitId()]; s != nil {
				s.streams++
			} else if general[a.GetCircuitId()] {
				single++
			}
		}
		s := sets[id]
		if s == nil {
			continue
		}
		switch {
		case e.GetCircuitLegLinked() != nil:
			leg := e.GetCircuitLegLinked().GetCircuitId()
			s.legs[leg] = paths[leg]
		case e.GetCircuitLegLost() != nil:
			delete(s.legs, e.GetCircuitLegLost().GetCircuitId())
		case e.GetCircuitSetLinked() != nil:
			s.linked = true
		case e.GetCircuitFailed() != nil:
			s.failed = true
		case e.GetCircuitClosed() != nil:
			s.closed = e.GetCircuitClosed()
		}
	}
	return sets, single
}

// open are the sets that take streams.
func (c *client) openSets() (out []*confluxSet) {
	sets, _ := c.sets()
	for _, s := range sets {
		if s.linked && s.closed == nil {
			out = append(out, s)
		}
	}
	return out
}

// awaitSets waits until so many sets are linked, and none is on its way.
func (c *client) awaitSets(t *testing.T, n int) {
	t.Helper()
	c.until(t, fmt.Sprintf("%d conflux sets are linked", n), func() bool {
		sets, _ := c.sets()
		for _, s := range sets {
			if !s.linked && !s.failed {
				return false
			}
		}
		return len(c.openSets()) >= n
	})
}

// echoes sends bytes and gets them back, over one stream.
func (c *client) echoes(t *testing.T, n *testnet.Network, size int) {
	t.Helper()
	conn := c.dial(t, netip.AddrPortFrom(n.Target().IP, uint16(n.Target().EchoPort)))
	defer conn.Close()
	sent := bytes.Repeat([]byte("chive grows in clumps. "), size/23)
	wrote := make(chan error, 1)
	go func() {
		_, err := conn.Write(sent)
		if err == nil {
			err = conn.CloseWrite()
		}
		wrote <- err
	}()
	got, err := io.ReadAll(conn)
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	if err != nil || sha256.Sum256(got) != sha256.Sum256(sent) {
		t.Fatalf("echoed %d of %d bytes, err %v", len(got), len(sent), err)
	}
}

// Sets are linked with C tor's exits and carry streams over both legs, both ways.
func TestConflux(t *testing.T) {
	t.Parallel()
	n := testnet.ForTest(t, testnet.Options{Onions: -1})
	l := newLab(t, n, "SocksPort auto")
	c := l.client
	c.awaitSets(t, 3) // cfx_max_prebuilt_set, of which nothing is said

	t.Run("down and up", func(t *testing.T) {
		_, before := c.sets()
		const size = 20 << 20
		want := direct(t, resource(n, size))
		sum, got, err := c.get(t.Context(), "", resource(n, size))
		if err != nil || got != size || sum != want {
			t.Fatalf("got %d bytes, hash %s, err %v; want %d, %s", got, sum, err, size, want)
		}
		c.echoes(t, n, 5<<20)
		sets, single := c.sets()
		if single != before {
			t.Errorf("%d streams went over single circuits", single-before)
		}
		used := 0
		for _, s := range sets {
			if s.streams > 0 {
				used++
			}
		}
		if used == 0 {
			t.Error("no set was used")
		}
	})
	t.Run("isolation", func(t *testing.T) {
		const size = 100_000
		want := direct(t, resource(n, size))
		for i := range 6 { // more than there are sets
			if sum, got, err := c.get(t.Context(), fmt.Sprint("user", i), resource(n, size)); err != nil || sum != want {
				t.Fatalf("user %d: %d bytes, err %v", i, got, err)
			}
		}
	})
	t.Run("switched off and on", func(t *testing.T) {
		l.set(t, "ConfluxEnabled 0")
		c.until(t, "the sets are gone", func() bool { return len(c.openSets()) == 0 })
		_, before := c.sets()
		l.once(t)
		if _, after := c.sets(); after <= before { // it may have been tried on several
			t.Error("no stream over a single circuit")
		}
		if open := c.openSets(); len(open) > 0 {
			t.Errorf("%d sets are open", len(open))
		}
		l.set(t, "ConfluxEnabled 1", "ConfluxClientUX latency")
		c.awaitSets(t, 1)
	})
	t.Run("rules for paths", func(t *testing.T) {
		only := fingerprint(t, n, "exit1")
		l.set(t, "ExitNodes "+only)
		c.until(t, "sets end at the only exit", func() bool {
			sets := c.openSets()
			for _, s := range sets {
				for _, path := range s.legs {
					if fmt.Sprintf("%X", path[2]) != only {
						return false // one of before, which ends
					}
				}
			}
			return len(sets) > 0
		})
		l.once(t)
		c.awaitSets(t, 3)
	})
	t.Run("a leg's guard dies", func(t *testing.T) {
		old := map[string]bool{} // by other rules: they take no new streams
		for _, s := range c.openSets() {
			old[s.id] = true
		}
		l.set(t)
		c.until(t, "3 other sets are linked", func() bool {
			return len(slices.DeleteFunc(c.openSets(), func(s *confluxSet) bool { return old[s.id] })) >= 3
		})
		conn := c.dial(t, netip.AddrPortFrom(n.Target().IP, uint16(n.Target().EchoPort)))
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		broken := make(chan int, 1)
		go func() { // both ways at once, until it breaks
			sent := bytes.Repeat([]byte("chive grows in clumps. "), 1000)
			go func() {
				for {
					if _, err := conn.Write(sent); err != nil {
						return
					}
				}
			}()
			n, right := 0, true
			got := make([]byte, len(sent))
			for {
				m, err := io.ReadFull(conn, got)
				right = right && bytes.HasPrefix(sent, got[:m])
				if n += m; err != nil {
					if !right {
						n = -1
					}
					broken <- n
					return
				}
			}
		}()
		set := ""
		c.until(t, "the stream is on a set", func() bool { set = c.lastCarrier(); return set != "" })
		sets, _ := c.sets()
		if sets[set] == nil || len(sets[set].legs) != 2 {
			t.Fatalf("the stream is on %s, which is no set", set)
		}
		killed := ""
		for _, path := range sets[set].legs {
			killed = nameOf(t, n, path[0])
		}
		if err := n.Kill(killed); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := n.Restart(killed); err != nil {
				t.Error(err)
			}
		}()
		// The set ends with the stream, or it lives by its other leg if the exit and we had
		// nothing on its way over this one.
		c.until(t, "the leg is lost", func() bool {
			sets, _ := c.sets()
			return len(sets[set].legs) < 2 || sets[set].closed != nil
		})
		_ = conn.Close()
		if n := <-broken; n < 0 {
			t.Error("other bytes came back than were sent")
		}
		c.until(t, "sets without the guard are linked", func() bool {
			for _, s := range c.openSets() {
				fine := len(s.legs) == 2
				for _, path := range s.legs {
					fine = fine && nameOf(t, n, path[0]) != killed
				}
				if fine {
					return true
				}
			}
			return false
		})
		l.once(t)
	})
	l.stop()
	sets, _ := c.sets()
	both := false
	for _, s := range sets {
		t.Logf("set %s: %d streams, %v", s.id, s.streams, s.closed)
		if s.closed.GetSwitchesIn() > 0 {
			both = true
		}
	}
	if !both {
		t.Error("no exit ever used both legs of a set")
	}
}

// lastCarrier is the circuit of the stream for users that is connected last; "" if it is
// on none.
func (c *client) lastCarrier() (circuit string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	on, general := map[string]string{}, map[string]bool{}
	for _, e := range c.log {
		id := e.GetActorId()
		switch {
		case e.GetStreamRequested() != nil:
			general[id] = e.GetStreamRequested().GetPurpose() == chivev1.Purpose_PURPOSE_GENERAL
		case e.GetStreamAttached() != nil:
			on[id] = e.GetStreamAttached().GetCircuitId()
		case e.GetStreamConnected() != nil && general[id]:
			circuit = on[id]
		case e.GetStreamEnded() != nil && on[id] == circuit:
			circuit = ""
		}
	}
	return circuit
}

// nameOf is the name of a relay of the network.
func nameOf(t *testing.T, n *testnet.Network, rsa []byte) string {
	t.Helper()
	for _, x := range n.Nodes() {
		if x.Fingerprint == fmt.Sprintf("%X", rsa) {
			return x.Name
		}
	}
	t.Fatalf("no relay is %X", rsa)
	return ""
}
