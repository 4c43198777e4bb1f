package configuration

import (
	"fmt"
	"slices"

	"chive/config"
	"chive/messages"
)

// revert makes the operator's layer such that what is in force becomes what it was at the
// revision. Services that were added are not options that somebody chose otherwise then: they
// stay as they are, unless the operator says that they are meant, too.
func (p *plan) revert(s *State, b *book) error {
	r, ok := b.find(p.job.revert)
	if !ok {
		return fmt.Errorf("%w: %d; chive config history lists them", ErrNoRevision, p.job.revert)
	}
	then := append(toAdd(r.Added), asPassing(r.Passing)...)
	services := append(only(b.live, config.FromAdded), passing(b.live)...)
	if p.job.services {
		services, p.aside = then, nil
	} else {
		p.notes = left(r.Revision, then, append(slices.Clone(services), b.aside...))
	}
	p.live = append(only(b.live, config.FromFleet), services...)
	without, err := s.source.Load(p.live...)
	if err != nil {
		return err
	}
	running := s.Current()
	var set []config.Live
	for _, o := range config.Options() {
		was, known := r.Values[o.Name]
		if o.Secret {
			if err := p.revertSecret(b, &o, r, without.Config); err != nil {
				return err
			}
			continue
		}
		own, below := withoutAdded(o.Name, was, then), withoutAdded(o.Name, o.Values(without.Config), services)
		switch {
		case o.Class == config.Restart && known && join(was) != join(o.Values(running)):
			return fmt.Errorf("%s was different at revision %d and %w", o.Name, r.Revision, ErrRestart)
		case o.Class == config.Restart, !known, join(own) == join(below):
		case len(own) == 0:
			return fmt.Errorf("%s was not set at revision %d, and a layer below says %q: take it out there", o.Name, r.Revision, join(below))
		default:
			set = append(set, config.Live{Name: o.Name, Values: own, Origin: config.FromOperator})
		}
	}
	p.live = append(set, p.live...) // what replaces comes before what adds to it
	return nil
}

// left tells how many services a revert leaves as they are, though they were not so at the
// revision. Which they are is for chive onion ls to say.
func left(revision uint64, then, now []config.Live) (notes []messages.ConfigNote) {
	was, is := merged(then), merged(now)
	added, gone, changed := apart(is, was), apart(was, is), 0
	for _, l := range is {
		for _, v := range l.Values {
			if !slices.ContainsFunc(was, func(w config.Live) bool { return slices.Contains(w.Values, v) }) {
				changed++
			}
		}
	}
	say := func(n int, what, then, otherwise string) {
		if n > 0 {
			notes = append(notes, messages.ConfigNote{Text: fmt.Sprintf("onion services that were %s after revision %d: %d, which %s; with --services they %s",
				what, revision, n, then, otherwise)})
		}
	}
	say(added, "added", "stay", "are taken out")
	say(gone, "taken out", "stay out", "come back")
	say(changed-added, "added anew with other options", "stay as they are", "go back")
	return notes
}

// apart is how many of the services have folders that others have not.
func apart(services, others []config.Live) (n int) {
	for _, l := range services {
		n += len(withoutAdded(serviceDir, l.Values, others))
	}
	return n
}

// inForce: is what a revert would bring there already, by what is set and by the files as
// they are now?
func (p *plan) inForce(s *State, b *book) bool {
	was := *b
	was.aside = p.aside
	if len(p.changes) > 0 || join(names(b.pending)) != join(names(p.pending)) || !sameLive(b.added(b.live), was.added(p.live)) {
		return false
	}
	now, err := s.source.Load(b.live...)
	if err != nil {
		return false
	}
	next, _ := config.Apply(s.Current(), now.Config)
	return len(config.Diff(s.Current(), next)) == 0
}

// revertSecret goes back to a secret that was not set. What it was is written down
// nowhere, so that one that was set then and is set now stays as it is now.
func (p *plan) revertSecret(b *book, o *config.Option, r Revision, below *config.Config) error {
	then, known := r.Values[o.Name]
	at := slices.IndexFunc(b.live, func(l config.Live) bool { return l.Name == o.Name && l.Origin == config.FromOperator })
	switch {
	case known && len(then) == 0 && len(o.Values(below)) > 0:
		return fmt.Errorf("%s was not set at revision %d, and a layer below sets it: take it out there", o.Name, r.Revision)
	case known && len(then) == 0:
	case at >= 0:
		p.live = append(p.live, b.live[at])
	case known && len(o.Values(below)) == 0:
		return fmt.Errorf("%s was set at revision %d, and a secret is not kept: set it before going back", o.Name, r.Revision)
	}
	return nil
}
