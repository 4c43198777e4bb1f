package configuration

import (
	"log/slog"
	"strings"
	"time"

	"chive/config"
	"chive/messages"
)

// Open computes what a node starts with: the source, with what the fleet had set
// when the node ran last. What the fleet set is left out, with a warning, if it does
// not go with what the files say now. A history that cannot be read or written is
// a warning too: the node starts with a new one.
func Open(source *config.Source, store Store, log *slog.Logger, now time.Time) (*State, error) {
	kept, err := store.Load()
	if err != nil {
		log.Warn("the history of configurations is lost", "err", err)
	}
	b := &book{revisions: kept}
	var added []config.Live
	if len(kept) > 0 {
		last := b.last()
		added = toAdd(last.Added)
		b.live, b.fleet = append(allowed(last.Fleet), added...), last.FleetRevision
	}
	loaded, err := source.Load(b.live...)
	if err != nil && len(b.live) > len(added) {
		log.Warn("what the fleet had set does not go with the files: starting without it", "err", err)
		b.live, b.fleet = added, b.fleet-1 // it may be sent again when the files have changed
		loaded, err = source.Load(b.live...)
	}
	if err != nil && len(added) > 0 {
		log.Warn("onion services that were added do not go with the files: starting without them; they come back when the files have changed, or chive onion rm FOLDER takes them out", "err", err)
		b.live, b.aside = nil, added
		loaded, err = source.Load()
	}
	if err != nil {
		return nil, err
	}
	s := &State{source: source, store: store, hash: loaded.Hash}
	s.current.Store(loaded.Config)
	b.origins = loaded.Origins
	s.begin(b, loaded.Config, log, now)
	s.book.Store(b)
	return s, nil
}

// Close returns when no change is under way any more; none follows. The store may
// be used by another then.
func (s *State) Close() {
	s.working.Lock()
	defer s.working.Unlock()
	s.closed = true
}

// begin makes the revision that the node starts with, unless it is the last one.
func (s *State) begin(b *book, c *config.Config, log *slog.Logger, now time.Time) {
	r := Revision{
		ConfigRevision: messages.ConfigRevision{
			Revision: 1, Time: stamp(now), Source: messages.ConfigFromStart, FleetRevision: b.fleet,
		},
		Values: valuesOf(c), Fleet: only(b.live, config.FromFleet), Added: b.added(b.live),
	}
	if len(b.revisions) > 0 {
		last := b.last() // what was added is kept with its being set aside
		r.Changes = between(last.Values, r.Values)
		if len(r.Changes) == 0 && len(last.Fleet) == len(r.Fleet) {
			return
		}
		r.Revision = last.Revision + 1
	}
	b.add(r)
	if err := s.store.Append(r); err != nil {
		log.Warn("the configuration's revision is not kept over a restart", "err", err)
	}
}

func (b *book) add(r Revision) {
	b.revisions = append(b.revisions[:len(b.revisions):len(b.revisions)], r)
	if len(b.revisions) > maxRevisions {
		b.revisions = b.revisions[len(b.revisions)-maxRevisions:]
	}
}

// allowed keeps what the fleet may set still: a newer chive may allow less.
func allowed(live []config.Live) (out []config.Live) {
	for _, l := range live {
		if config.Find(l.Name) != nil && config.AllowRemote(l.Name) == nil {
			l.Origin = config.FromFleet
			out = append(out, l)
		}
	}
	return out
}

// valuesOf is every option as torrc lines would say it.
func valuesOf(c *config.Config) map[string][]string {
	out := map[string][]string{}
	for _, o := range config.Options() {
		out[o.Name] = o.Values(c)
	}
	return out
}

// between lists what differs between the values of two revisions.
func between(old, next map[string][]string) (out []messages.ConfigChange) {
	for _, o := range config.Options() {
		was, known := old[o.Name]
		is, still := next[o.Name]
		if known && still && join(was) != join(is) {
			out = append(out, change(&o, was, is))
		}
	}
	return out
}

func join(values []string) string { return strings.Join(values, "\n") }

func change(o *config.Option, was, is []string) messages.ConfigChange {
	return messages.ConfigChange{Option: o.Name, Old: join(was), New: join(is), Effect: string(o.Class), Note: o.Effect}
}

func changes(all []config.Change) (out []messages.ConfigChange) {
	for _, c := range all {
		out = append(out, change(c.Option, c.Old, c.New))
	}
	return out
}
