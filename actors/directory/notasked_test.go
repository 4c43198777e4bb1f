package directory

import (
	"fmt"
	"testing"
	"time"

	"chive/messages/chivev1"
	"chive/tor/netdoc"
)

// A directory that was not asked, as this machine or the proxy let no connection be made, is
// asked the next time; and that is soon.
func TestNobodyAsked(t *testing.T) {
	for out, asked := range map[chivev1.Outcome]bool{
		chivev1.Outcome_OUTCOME_MACHINE_FAILED:  false,
		chivev1.Outcome_OUTCOME_PROXY_FAILED:    false,
		chivev1.Outcome_OUTCOME_CONNECT_REFUSED: true,
		chivev1.Outcome_OUTCOME_TIMEOUT:         true,
	} {
		w := &worker{o: Options{Now: time.Now}, shunned: map[netdoc.Digest]time.Time{}}
		err := fmt.Errorf("consensus: %w", &DialError{out})
		w.shunFor(Target{Identity: netdoc.Digest{1}}, err)
		if shunned := len(w.shunned) == 1; shunned != asked || (w.backoff(err).Max == proxyWait) == asked {
			t.Errorf("%v: shunned %v, asked again in %v at most", out, shunned, w.backoff(err).Max)
		}
	}
}
