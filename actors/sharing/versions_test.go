package sharing

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"chive/actors/hosting"
)

// Nodes of two versions that cannot read each other's entries: one of them all publishes, the
// points of those that it can read, and when it ends another does, of whichever version.
func TestVersionsMixed(t *testing.T) {
	onScene(t, []string{"a", "b", "c", "d"}, func(s *scene) {
		set := func(f func()) {
			s.store.mu.Lock()
			defer s.store.mu.Unlock()
			f()
		}
		newer := s.nodes[2:]
		set(func() {
			for _, n := range newer {
				n.form = 0x40
			}
		})
		watch := func(d time.Duration) {
			t.Helper()
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
				synctest.Wait()
				if all := s.publishers(); len(all) > 1 {
					t.Fatalf("%s and %s publish", all[0].name, all[1].name)
				}
			}
		}
		watch(20 * time.Second)
		were := map[byte]bool{}
		for round := range 6 {
			n := s.publisher()
			were[n.form] = true
			for _, o := range s.nodes {
				if r := o.has(); len(r.Others) != 2 && !o.cut && round == 0 || len(r.Others) > 0 && r.Others[0].Node > "b" != (o.form != 0) {
					t.Errorf("%s lists %+v", o.name, r.Others)
				}
			}
			if round == 3 { // in order
				s.system.Root.Send(n.pid, &hosting.Unshared{Service: "/site"})
				watch(20 * time.Second)
				if n.parted() != 1 {
					t.Errorf("%s waits for ever", n.name)
				}
				s.shared(slices.Index(s.nodes, n), 0)
			} else {
				set(func() { n.cut = true })
				watch(20 * time.Second)
				set(func() { // the others of its version are away the next time
					for _, o := range s.nodes {
						o.cut = o.form == n.form
					}
				})
			}
		}
		if len(were) != 2 {
			t.Error("one version alone has published")
		}
	})
}
