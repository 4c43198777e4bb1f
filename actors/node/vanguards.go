package node

import (
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/netdoc"
	"chive/tor/path"
	"chive/tor/vanguard"
)

// vanguardAggregate is the journal's name of the layers behind the guards. Others than those
// of the last boot would each time be some more who see which guard this client has; but a
// node without the journal draws new ones, as C tor does.
const vanguardAggregate = "vanguards"

// Kinds of its events; the data is JSON.
const (
	kindVanguards = "vanguards"         // all: []vanguard.Relay, the state
	kindVanguard  = "vanguards-changed" // vanguard.Event
)

// vanguardID is the id of the layers behind the guards in events.
const vanguardID = "vanguards"

// Reasons in events why relays are used no more that are kept: a layer is off, or the user
// names others for it. If they are used again before their time is over, nobody new sees the
// guards.
const (
	vanguardsOff     = "off"
	vanguardsUnnamed = "not named"
)

// vanguardSettings are the options.
type vanguardSettings struct {
	lite, full string // VanguardsLiteEnabled, VanguardsFull
	hosts      bool   // onion services
}

func vanguardSettingsOf(c *config.Config) vanguardSettings {
	return vanguardSettings{lite: c.VanguardsLiteEnabled, full: c.VanguardsFull, hosts: len(c.OnionServices) > 0}
}

// vanguards joins the layers behind the guards with the events and the journal. The circuits
// actor calls it in its turn; the configuration says whether they are used. It implements
// circuits.Vanguards.
type vanguards struct {
	recorder *messages.Recorder
	log      *slog.Logger

	mu       sync.Mutex // protects the fields below
	lane     messages.JournalLane
	set      *vanguard.Set
	settings vanguardSettings
	params   vanguard.Params
	told     []vanguard.Relay // which relays the events say are used
	mode     path.Mode        // of told
	x        *path.Index
	naming   uint64 // see path.Layers
}

// openVanguards loads the layers; without a journal they are empty.
func openVanguards(j messages.Journal, settings vanguardSettings, recorder *messages.Recorder, log *slog.Logger, rng *rand.Rand) *vanguards {
	v := &vanguards{recorder: recorder, log: log, set: vanguard.New(rng), settings: settings}
	v.lane = openKept(j, log, vanguardAggregate, v.apply, v.state, kindVanguard, kindVanguards)
	return v
}

func (v *vanguards) apply(e messages.JournalEntry) error {
	if e.Event.Kind == kindVanguards {
		var relays []vanguard.Relay
		err := json.Unmarshal(e.Event.Data, &relays)
		v.set.Load(relays)
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

func (v *vanguards) configure(settings vanguardSettings) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.settings = settings
}

// wanted is which layers are used, by the options and, as far as those leave it open, by the
// consensus.
func (v *vanguards) wanted() path.Mode {
	second, third := v.named(path.Layer2), v.named(path.Layer3)
	lite := second || v.settings.lite == "1" || v.settings.lite != "0" && v.params.Enabled
	all := v.params.Full || v.settings.hosts && v.params.FullForServices
	switch {
	case third, v.settings.full == "1", v.settings.full != "0" && lite && all:
		return path.Full
	case lite:
		return path.Lite
	default:
		return path.NoLayers
	}
}

// named: does the user name relays for a layer?
func (v *vanguards) named(l path.Place) bool {
	if v.x == nil {
		return false
	}
	_, named := v.x.NamedLayer(l)
	return named
}

// Update implements circuits.Vanguards.
func (v *vanguards) Update(x *path.Index, params netdoc.Params, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.x != nil && !x.NamesAsLayers(v.x) {
		v.naming++
	}
	v.x, v.params = x, vanguard.ParamsOf(params)
	if mode := v.wanted(); v.x.Enough() && mode != path.NoLayers { // else they would be drawn from few
		v.update(mode, now)
	}
}

// Layers implements circuits.Vanguards.
func (v *vanguards) Layers(now time.Time) path.Layers {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.x == nil {
		return path.Layers{}
	}
	mode := v.wanted()
	if next := v.set.Next(); mode != path.NoLayers && (mode != v.mode || next.IsZero() || !now.Before(next)) {
		v.update(mode, now)
	}
	v.show(mode, nil)
	out := path.Layers{Naming: v.naming}
	if mode != path.NoLayers {
		out.Second = v.set.Of(vanguard.Second)
	}
	if mode == path.Full {
		out.Third = v.set.Of(vanguard.Third)
	}
	return out
}

func (v *vanguards) update(mode path.Mode, now time.Time) {
	v.set.Update(v.x, v.params, mode == path.Full, now)
	events := v.set.Take()
	for _, e := range events {
		v.keep(e)
	}
	v.show(mode, events)
	for l, name := range map[vanguard.Layer]string{vanguard.Second: "HSLayer2Nodes", vanguard.Third: "HSLayer3Nodes"} {
		if used(mode, l) && len(v.set.Of(l)) == 0 && v.x.Enough() {
			v.log.Warn("no relay that can be used is left for a layer of guards: onion services cannot be reached nor hosted", "layer", int(l), "option", name)
		}
	}
}

// used: is a layer used in a mode?
func used(mode path.Mode, l vanguard.Layer) bool {
	return mode == path.Full || mode == path.Lite && l == vanguard.Second
}

// show tells of the relays that are used from now on, or no more; events say why.
func (v *vanguards) show(mode path.Mode, events []vanguard.Event) {
	same := func(r vanguard.Relay) func(vanguard.Relay) bool {
		return func(o vanguard.Relay) bool { return o.Identity == r.Identity && o.Layer == r.Layer }
	}
	now := slices.DeleteFunc(v.set.Relays(), func(r vanguard.Relay) bool { return !used(mode, r.Layer) || !v.set.Used(r) })
	for _, r := range v.told {
		if slices.ContainsFunc(now, same(r)) {
			continue
		}
		why := vanguard.Reason(vanguardsUnnamed)
		if !used(mode, r.Layer) {
			why = vanguardsOff
		}
		for _, e := range events {
			if e.Kind == vanguard.Removed && same(r)(e.Relay) {
				why = e.Reason
			}
		}
		v.tell(vanguard.Event{Kind: vanguard.Removed, Relay: r, Reason: why})
	}
	for _, r := range now {
		if !slices.ContainsFunc(v.told, same(r)) {
			v.tell(vanguard.Event{Kind: vanguard.Added, Relay: r})
		}
	}
	v.told, v.mode = now, mode
}

func (v *vanguards) tell(e vanguard.Event) {
	id, layer := e.Identity[:], uint32(e.Layer)
	event := messages.Event(chivev1.Kind_KIND_ONION, vanguardID, &chivev1.VanguardAdded{Relay: id, Layer: layer})
	if e.Kind == vanguard.Removed {
		event = messages.Event(chivev1.Kind_KIND_ONION, vanguardID, &chivev1.VanguardRemoved{Reason: string(e.Reason), Relay: id, Layer: layer})
	}
	v.recorder.Emit(event)
}

func (v *vanguards) keep(e vanguard.Event) {
	data, err := json.Marshal(e)
	if err == nil && v.lane != nil {
		err = v.lane.Record(messages.JournalEvent{Kind: kindVanguard, Version: keptVersion, Data: data})
	}
	if err != nil {
		v.log.Warn("a change of the layers behind the guards is not kept", "err", err)
	}
}

// last is the lane, to be closed.
func (v *vanguards) last() messages.JournalLane {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.lane
}
