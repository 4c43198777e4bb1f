package hosting

import (
	"testing"

	"chive/messages/chivev1"
	"chive/tor/onion/client"
	"chive/tor/onion/heal"
)

// A visit that ends while its proof of work is searched for says that so much is asked for, and
// nothing of the introduction point; but for one whose circuit was lost meanwhile, or never there.
func TestVisitWithoutProof(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*visiting)
		cause  client.Cause
		want   bool
	}{
		"in time":         {func(*visiting) {}, client.IntroTimedOut, true},
		"it was found":    {func(v *visiting) { v.solving = false }, client.IntroTimedOut, false},
		"not reached":     {func(v *visiting) { v.opened = false }, client.IntroTimedOut, false},
		"a circuit ended": {func(v *visiting) { v.lost = chivev1.Outcome_OUTCOME_DESTROYED }, client.IntroTimedOut, false},
		"too slow":        {func(v *visiting) { v.lost = chivev1.Outcome_OUTCOME_TIMEOUT }, client.IntroTimedOut, false},
		"it refused":      {func(*visiting) {}, client.IntroFailed, false},
	} {
		v := &visiting{visit: &visit{}, solving: true, opened: true, waited: true}
		v.answer.auth, v.answer.result.Stage = [32]byte{1}, heal.Descriptor
		tt.change(v)
		v.failed(&client.Failed{Cause: tt.cause})
		if r := v.answer.result; r.Crowded != tt.want || r.OK {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
