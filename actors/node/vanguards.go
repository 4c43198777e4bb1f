package node

import (
	"math/rand/v2"
	"sync"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/netdoc"
	"chive/tor/path"
	"chive/tor/vanguard"
)

// vanguards joins the second layer of guards with the events. The circuits actor calls it
// in its turn; the configuration says whether it is used.
type vanguards struct {
	recorder *messages.Recorder

	mu      sync.Mutex // protects the fields below
	set     *vanguard.Set
	enabled string // VanguardsLiteEnabled
	params  vanguard.Params
	x       *path.Index
}

func newVanguards(enabled string, recorder *messages.Recorder, rng *rand.Rand) *vanguards {
	return &vanguards{recorder: recorder, set: vanguard.New(rng), enabled: enabled}
}

func (v *vanguards) configure(enabled string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.enabled = enabled
}

func (v *vanguards) used() bool { return v.enabled == "1" || v.enabled != "0" && v.params.Enabled }

// Update implements circuits.Vanguards.
func (v *vanguards) Update(x *path.Index, params netdoc.Params, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.x, v.params = x, vanguard.ParamsOf(params)
	if v.x.Enough() && v.used() { // else it would be drawn from few
		v.update(now)
	}
}

// Layer2 implements circuits.Vanguards.
func (v *vanguards) Layer2(now time.Time) []netdoc.Digest {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.x == nil || !v.used() {
		return nil
	}
	if next := v.set.Next(); next.IsZero() || !now.Before(next) {
		v.update(now)
	}
	return v.set.Identities()
}

func (v *vanguards) update(now time.Time) {
	v.set.Update(v.x, v.params, now)
	for _, e := range v.set.Take() {
		id := e.Identity[:]
		event := messages.Event(chivev1.Kind_KIND_ONION, vanguardID, &chivev1.VanguardAdded{Relay: id})
		if e.Kind == vanguard.Removed {
			event = messages.Event(chivev1.Kind_KIND_ONION, vanguardID, &chivev1.VanguardRemoved{Reason: string(e.Reason), Relay: id})
		}
		v.recorder.Emit(event)
	}
}

// vanguardID is the id of the second layer of guards in events.
const vanguardID = "vanguards"
