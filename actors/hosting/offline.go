package hosting

import (
	"errors"
	"math"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/onion/host"
)

// errAnother: a folder whose keys were put in the place of others while it was hosted.
var errAnother = errors.New("the folder holds the keys of another onion service than before")

// unlock opens the service's folder and gives the keys it is hosted with.
func (a *serviceActor) unlock(now time.Time) (host.Keys, error) {
	opened, err := openStore(&a.service, a.e.own)
	if err != nil {
		return nil, err
	}
	if a.store != nil && a.store.Address != opened.Address {
		return nil, errAnother
	}
	a.store = opened
	return opened.Keys(now)
}

// rekey reads the keys again: others may have been delegated, or the identity key was taken
// away.
func (a *serviceActor) rekey(now time.Time) error {
	online := a.store.Key != nil
	keys, err := a.unlock(now)
	if errors.Is(err, errAnother) {
		a.machine.Stop() // no introduction point is to have been both services'
	}
	if err == nil && !(online && a.store.Key != nil) { // it would get other signing keys for nothing
		a.machine.SetKeys(keys, now)
	}
	return err
}

// Keys are delegated ones, as the status shows them.
type Keys struct {
	Until time.Time `json:"until,omitzero"` // when they run out; zero: they are for another network
	Over  bool      `json:"over,omitempty"` // they have
}

const keysOver = "its delegated keys have run out; chive onion delegate makes others where the identity key is kept"

// lookAtKeys puts what is to be known of delegated keys into the status.
func (a *serviceActor) lookAtKeys(out *Status, s *host.Status) {
	if !s.Delegated {
		if d := a.store.Delegation; d != nil { // no consensus is known yet
			_, until := d.Lasts()
			out.Keys = &Keys{Until: until}
		}
		return
	}
	out.Keys = &Keys{Until: s.KeysUntil, Over: !a.h.o.Now().Before(s.KeysUntil)}
	if out.Keys.Over && !s.KeysUntil.IsZero() {
		out.Problem = keysOver
	}
}

// keysEnd tells that delegated keys run out.
func (a *serviceActor) keysEnd(e host.KeysEnd) {
	left := max(e.Until.Sub(a.h.o.Now()), 0)
	if e.Over {
		a.h.o.Log.Warn("the delegated keys of an onion service have run out: it stops being published", "folder", a.service.Dir, "remedy", "chive onion delegate where the identity key is kept, the file to the folder, chive reload")
	} else {
		a.h.o.Log.Warn("the delegated keys of an onion service run out soon", "folder", a.service.Dir, "until", e.Until.Format(time.DateTime), "remedy", "chive onion delegate where the identity key is kept, the file to the folder, chive reload")
	}
	hours := uint32(min(left/time.Hour, math.MaxUint32))
	a.emit(messages.Event(chivev1.Kind_KIND_HOSTING, a.e.id, &chivev1.HostingDelegationEnding{Over: e.Over, HoursLeft: hours}))
}
