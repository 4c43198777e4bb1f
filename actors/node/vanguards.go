package node

import (
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/netdoc"
	"chive/tor/path"
	"chive/tor/vanguard"
)

// vanguardAggregate is the journal's name of the second layer of guards. Others than those
// of the last boot would each time be some more who see which guard this client has; but a
// node without the journal draws new ones, as C tor does.
const vanguardAggregate = "vanguards"

// Kinds of its events; the data is JSON.
const (
	kindVanguards = "vanguards"         // all: []vanguard.Relay, the state
	kindVanguard  = "vanguards-changed" // vanguard.Event
)

// vanguardID is the id of the second layer of guards in events.
const vanguardID = "vanguards"

// vanguards joins the second layer of guards with the events and the journal. The circuits
// actor calls it in its turn; the configuration says whether it is used. It implements
// circuits.Vanguards.
type vanguards struct {
	recorder *messages.Recorder
	log      *slog.Logger

	mu      sync.Mutex // protects the fields below
	lane    messages.JournalLane
	set     *vanguard.Set
	enabled string // VanguardsLiteEnabled
	params  vanguard.Params
	x       *path.Index
}

// openVanguards loads the layer; without a journal it is empty.
func openVanguards(j messages.Journal, enabled string, recorder *messages.Recorder, log *slog.Logger, rng *rand.Rand) *vanguards {
	v := &vanguards{recorder: recorder, log: log, set: vanguard.New(rng), enabled: enabled}
	v.lane = openKept(j, log, vanguardAggregate, v.apply, v.state, kindVanguard, kindVanguards)
	for _, r := range v.set.Relays() {
		v.tell(vanguard.Event{Kind: vanguard.Added, Relay: r})
	}
	return v
}

func (v *vanguards) apply(e messages.JournalEntry) error {
	if e.Event.Kind == kindVanguards {
		var layer []vanguard.Relay
		err := json.Unmarshal(e.Event.Data, &layer)
		v.set.Load(layer)
		return corrupt(e, err)
	}
	var event vanguard.Event
	err := json.Unmarshal(e.Event.Data, &event)
	if err == nil {
		err = v.set.Replay([]vanguard.Event{event})
	}
	return corrupt(e, err)
}

func (v *vanguards) state() (messages.JournalEvent, error) {
	data, err := json.Marshal(v.set.Relays())
	return messages.JournalEvent{Kind: kindVanguards, Version: keptVersion, Data: data}, err
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
		v.tell(e)
		v.keep(e)
	}
}

func (v *vanguards) tell(e vanguard.Event) {
	id := e.Identity[:]
	event := messages.Event(chivev1.Kind_KIND_ONION, vanguardID, &chivev1.VanguardAdded{Relay: id})
	if e.Kind == vanguard.Removed {
		event = messages.Event(chivev1.Kind_KIND_ONION, vanguardID, &chivev1.VanguardRemoved{Reason: string(e.Reason), Relay: id})
	}
	v.recorder.Emit(event)
}

func (v *vanguards) keep(e vanguard.Event) {
	data, err := json.Marshal(e)
	if err == nil && v.lane != nil {
		err = v.lane.Record(messages.JournalEvent{Kind: kindVanguard, Version: keptVersion, Data: data})
	}
	if err != nil {
		v.log.Warn("a change of the second layer of guards is not kept", "err", err)
	}
}

// last is the lane, to be closed.
func (v *vanguards) last() messages.JournalLane {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.lane
}
