package node

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/netdoc"
	"chive/tor/pathbias"
)

// biasAggregate is the journal's name of the counts.
const biasAggregate = "path-bias"

const (
	kindBias = "path-bias" // map of guards, in hex, to pathbias.Counts: the state
	// biasEvery is how often the counts are kept, at most: each time they are whole.
	biasEvery = 5 * time.Minute
)

// biasLog counts what becomes of circuits, tells of what looks like path bias, and keeps
// the counts. It implements circuits.Bias.
type biasLog struct {
	recorder *messages.Recorder
	log      *slog.Logger
	now      func() time.Time

	mu        sync.Mutex // protects the fields below
	lane      messages.JournalLane
	book      *pathbias.Book
	consensus netdoc.Params
	settings  pathbias.Settings
	kept      time.Time
	changed   bool // since then
}

// openBias loads the counts; without a journal they are those of this boot.
func openBias(j messages.Journal, recorder *messages.Recorder, log *slog.Logger, now func() time.Time, s pathbias.Settings) *biasLog {
	b := &biasLog{recorder: recorder, log: log, now: now, settings: s, kept: now()}
	b.book = pathbias.New(nil, pathbias.ParamsOf(nil, s))
	b.lane = openKept(j, log, biasAggregate, b.apply, b.state, kindBias)
	return b
}

func (b *biasLog) apply(e messages.JournalEntry) error {
	var kept map[string]pathbias.Counts
	if err := json.Unmarshal(e.Event.Data, &kept); err != nil {
		return corrupt(e, err)
	}
	counts := make(map[netdoc.Digest]pathbias.Counts, len(kept))
	for name, c := range kept {
		var id netdoc.Digest
		if n, err := hex.Decode(id[:], []byte(name)); len(name) != 2*len(id) || err != nil || n != len(id) || !c.Valid() {
			return corrupt(e, fmt.Errorf("impossible counts of a guard"))
		}
		counts[id] = c
	}
	b.book = pathbias.New(counts, pathbias.ParamsOf(b.consensus, b.settings))
	return nil
}

func (b *biasLog) state() (messages.JournalEvent, error) {
	counts := b.book.Counts()
	kept := make(map[string]pathbias.Counts, len(counts))
	for id, c := range counts {
		kept[hex.EncodeToString(id[:])] = c
	}
	data, err := json.Marshal(kept)
	return messages.JournalEvent{Kind: kindBias, Version: keptVersion, Data: data}, err
}

// configure takes over the user's settings.
func (b *biasLog) configure(s pathbias.Settings) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settings = s
	b.book.SetParams(pathbias.ParamsOf(b.consensus, s))
}

// Update implements circuits.Bias.
func (b *biasLog) Update(p netdoc.Params) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.consensus = p
	b.book.SetParams(pathbias.ParamsOf(p, b.settings))
}

// Built implements circuits.Bias.
func (b *biasLog) Built(circuit string, guard netdoc.Digest) {
	b.change(func() *pathbias.Alarm { return b.book.Built(circuit, guard) })
}

// Unbuilt implements circuits.Bias.
func (b *biasLog) Unbuilt(guard netdoc.Digest) {
	b.change(func() *pathbias.Alarm { return b.book.Unbuilt(guard) })
}

// TimedOut implements circuits.Bias.
func (b *biasLog) TimedOut(guard netdoc.Digest) {
	b.change(func() *pathbias.Alarm { b.book.TimedOut(guard); return nil })
}

// Used implements circuits.Bias.
func (b *biasLog) Used(circuit string) {
	b.change(func() *pathbias.Alarm { return b.book.Used(circuit) })
}

// Ended implements circuits.Bias.
func (b *biasLog) Ended(circuit string, how pathbias.End) {
	b.change(func() *pathbias.Alarm { b.book.Ended(circuit, how); return nil })
}

// forget drops the counts of a relay that is no guard any more.
func (b *biasLog) forget(guard netdoc.Digest) {
	b.change(func() *pathbias.Alarm { b.book.Forget(guard); return nil })
}

func (b *biasLog) change(f func() *pathbias.Alarm) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changed = true
	if a := f(); a != nil {
		b.tell(a)
	}
}

// tell warns once; which guard it is stands in the event, where few may see it.
func (b *biasLog) tell(a *pathbias.Alarm) {
	of := "circuits"
	if a.Use {
		of = "used-circuits"
	}
	whole := func(n float64) uint32 { return uint32(math.Round(n)) }
	b.log.Warn("circuits through a guard fail more often than they should: the network may be overloaded, or the guard chooses which circuits live",
		"level", string(a.Level), "of", of, "successes", whole(a.Successes), "attempts", whole(a.Attempts))
	b.recorder.Emit(messages.Event(chivev1.Kind_KIND_GUARD, "guard", &chivev1.PathBiasSuspected{
		Level: string(a.Level), Of: of, Successes: whole(a.Successes), Attempts: whole(a.Attempts),
		Collapsed: whole(a.Counts.Collapsed), Unusable: whole(a.Counts.Unusable), Timeouts: whole(a.Counts.Timeouts),
		Relay: a.Guard[:],
	}))
}

// Tick implements circuits.Bias: from time to time the counts are kept.
func (b *biasLog) Tick() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now().Sub(b.kept) >= biasEvery {
		b.keep()
	}
}

func (b *biasLog) keep() {
	if !b.changed || b.lane == nil {
		return
	}
	b.changed, b.kept = false, b.now()
	e, err := b.state()
	if err == nil {
		err = b.lane.Record(e)
	}
	if err != nil {
		b.log.Debug("the counts of circuits are not kept", "err", err)
	}
}

// last keeps the counts as they are when the node stops.
func (b *biasLog) last() messages.JournalLane {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keep()
	return b.lane
}

func biasSettings(c *config.Config) pathbias.Settings {
	return pathbias.Settings{
		Circuits: c.PathBiasCircThreshold, Notice: c.PathBiasNoticeRate, Warn: c.PathBiasWarnRate, Extreme: c.PathBiasExtremeRate,
		ScaleCircuits: c.PathBiasScaleThreshold,
		Uses:          c.PathBiasUseThreshold, NoticeUse: c.PathBiasNoticeUseRate, ExtremeUse: c.PathBiasExtremeUseRate,
		ScaleUses: c.PathBiasScaleUseThreshold,
	}
}
