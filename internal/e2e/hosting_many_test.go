package e2e

import (
	"fmt"
	"path/filepath"
	"testing"

	"chive/messages/chivev1"
)

// manyServices: a node that hosts a dozen begins them in turn, is a client meanwhile, and has
// all be found. elsewhere is a service of another node.
func manyServices(t *testing.T, l *hostingLab, tor *client, elsewhere string) {
	const services = 12
	lines := l.ClientTorrc()
	var dirs []string
	for i := range services {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(i))
		dirs = append(dirs, dir)
		lines = append(lines, "HiddenServiceDir "+dir, "HiddenServicePort 80 "+l.http)
	}
	c, err := launch(t, t.TempDir(), nil, lines...)
	if err != nil {
		t.Fatal(err)
	}
	c.await(t)
	published := func() int { // services, each for both periods
		periods := map[string]map[uint64]bool{}
		c.count(func(e *chivev1.Envelope) bool {
			if p := e.GetHostingPublished(); p != nil {
				if periods[e.GetActorId()] == nil {
					periods[e.GetActorId()] = map[uint64]bool{}
				}
				periods[e.GetActorId()][p.GetPeriod()] = true
			}
			return false
		})
		n := 0
		for _, of := range periods {
			if len(of) == 2 {
				n++
			}
		}
		return n
	}
	c.fetchOnion(t, "", elsewhere, 100_000)
	t.Logf("as a client it was served when %d of %d services were published", published(), services)
	c.eventually(t, "all services are published", patience, func() bool { return published() == services })
	for _, dir := range []string{dirs[0], dirs[services-1]} {
		tor.fetchOnion(t, "", addressOf(t, dir), 100_000)
	}
}
