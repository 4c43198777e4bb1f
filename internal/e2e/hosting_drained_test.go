package e2e

import (
	"fmt"
	"strings"
	"testing"

	"chive/bridge"
	"chive/messages"
)

// TestHostingDrained: the publisher of a shared service is drained. It says that it takes no part,
// and who published when it left, and nothing else in the same breath; the others go on.
func TestHostingDrained(t *testing.T) {
	t.Parallel()
	s := startSharers(t)
	s.complete(t, 0, 3)
	leaver, _ := s.publisher()
	p := s.named(leaver)
	operator, _ := s.h.as(t, bridge.RoleOperate)
	drain := func(request string) {
		t.Helper()
		if _, err := operator.Request(messages.ControlSubject("f", leaver, "drain"), []byte(request), patience); err != nil {
			t.Fatal(err)
		}
	}
	drain("{}")
	eventually(t, "the drained node knows who published when it left", func() error {
		heir, _ := s.publisher()
		st := p.why(t, s.address[:16])
		out, err := p.ask(t, "onion", "why", s.address[:16])
		if want := "it takes no part now, being drained or about to end; when it left, node " + heir + " published it"; heir == leaver ||
			st.Publisher != heir || st.State == "starting" || err != nil || !strings.Contains(out, want) {
			return fmt.Errorf("%s is drained, %s publishes: %q in state %s, %v\n%s", leaver, heir, st.Publisher, st.State, err, out)
		}
		return nil
	})
	if out, err := p.ask(t, "onion", "show", s.address[:16]); err != nil || !strings.Contains(out, "this node takes no part") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, o := range s.all {
		if st := o.why(t, s.address[:16]); o != p && (st.Publisher != o.name && st.State == "starting" || st.Away) {
			t.Errorf("%s: published by %s: %s", o.name, st.Publisher, st.Summary)
		}
	}
	drain(`{"resume":true}`)
	eventually(t, "it takes part again", func() error {
		if st := p.why(t, s.address[:16]); st.Away || st.Publisher == "" {
			return fmt.Errorf("%s", st.Summary)
		}
		return nil
	})
	s.alone(t)
}
