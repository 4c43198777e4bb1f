package configuration

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"chive/config"
	"chive/messages"
)

// Why a proposal is refused before it is read.
var (
	// ErrReplay: the fleet's revision is older than the one in force.
	ErrReplay = errors.New("an older revision of the fleet's configuration")
	// ErrRestart: the option cannot change while the node runs.
	ErrRestart = errors.New("cannot change while the node runs")
	// ErrEmptied: a torrc has become empty.
	ErrEmptied = errors.New("the torrc has become empty, which is more often half written than meant: chive reload takes it as it is")
	// ErrNoRevision: the history does not have it.
	ErrNoRevision = errors.New("no such revision in the history")
)

// maxLines is how many lines a proposal may have.
const maxLines = 4096

// plan reads and checks a proposal.
func (o *Options) plan(j *job) (*plan, error) {
	s := o.State
	b := s.book.Load()
	p := &plan{job: j, live: b.live, aside: b.aside, fleet: b.fleet}
	checked := func(err error) (*plan, error) { return nil, &StageError{Stage: stageCheck, Err: err} }
	if j.revert != 0 {
		if err := p.revert(s, b); err != nil {
			return checked(err)
		}
	} else if err := p.propose(b); err != nil {
		return checked(err)
	}
	var err error
	if j.revert == 0 {
		if err := p.service(s.Current(), b); err != nil {
			return checked(err)
		}
	}
	if p.loaded, err = s.source.Load(p.live...); err != nil {
		return nil, &StageError{Stage: stageRead, Err: err}
	}
	if p.loaded.Empty && j.proposal.Source == messages.ConfigFromFile {
		return nil, &StageError{Stage: stageRead, Err: ErrEmptied}
	}
	running := s.Current()
	p.next, p.pending = config.Apply(running, p.loaded.Config)
	p.changes = config.Diff(running, p.next)
	p.already = j.revert != 0 && p.inForce(s, b)
	return p, nil
}

// propose checks what the mouth says and puts its lines into the layer of the
// mouth.
func (p *plan) propose(b *book) error {
	m := p.job.proposal
	origin := config.FromOperator
	switch m.Source {
	case messages.ConfigFromFile, messages.ConfigFromSignal, messages.ConfigFromReload:
		if len(m.Lines) > 0 {
			return fmt.Errorf("a proposal of %s reads the files and has no lines of its own", m.Source)
		}
		return nil
	case messages.ConfigFromControl:
		if len(m.Lines) == 0 && !m.Replace {
			return errNothing
		}
	case messages.ConfigFromFleet:
		origin = config.FromFleet
		if err := p.fleetRevision(b); err != nil {
			return err
		}
	default:
		return fmt.Errorf("unknown mouth %q", m.Source)
	}
	if len(m.Lines) > maxLines {
		return fmt.Errorf("%d lines, at most %d", len(m.Lines), maxLines)
	}
	for _, l := range m.Lines {
		if err := checkLine(m.Source, l); err != nil {
			return err
		}
	}
	p.live = overlay(b.live, origin, plain(m.Lines), m.Replace)
	if origin == config.FromFleet && p.fleet == b.fleet && !m.FleetUndo && !sameLive(only(p.live, origin), only(b.live, origin)) {
		return fmt.Errorf("%w: %d was applied with another content", ErrReplay, p.fleet)
	}
	return nil
}

// fleetRevision lets the fleet's revisions go forward only. The one in force may
// come again.
func (p *plan) fleetRevision(b *book) error {
	n := p.job.proposal.FleetRevision
	switch {
	case n == 0:
		return errors.New("a proposal of the fleet needs its revision")
	case p.job.proposal.FleetUndo && n != b.fleet:
		return fmt.Errorf("revision %d of the fleet cannot be taken back: %d is in force", n, b.fleet)
	case n < b.fleet:
		return fmt.Errorf("%w: %d, and %d was applied", ErrReplay, n, b.fleet)
	}
	p.fleet = n
	return nil
}

// checkLine checks what can be said of a line alone; its value is checked with
// all others.
func checkLine(from messages.ConfigSource, l messages.ConfigLine) error {
	if err := config.CheckName(l.Name, l.Value, l.Reset); err != nil {
		return &mistake{err}
	}
	o := config.Find(l.Name)
	switch {
	case (l.Append || l.Remove) && (from != messages.ConfigFromControl || o.Name != serviceDir || l.Reset || l.Append && l.Remove):
		return fmt.Errorf("%s: only %s is added to and taken from, and only by the operator", o.Name, serviceDir)
	case l.Reset && l.Value != "":
		return fmt.Errorf("%s: a reset has no value", o.Name)
	case o.Class == config.Restart && from != messages.ConfigFromFleet:
		return fmt.Errorf("%s %w: set it in the torrc and start the node again", o.Name, ErrRestart)
	case from == messages.ConfigFromFleet:
		return config.AllowRemote(l.Name)
	}
	return nil
}

// overlay puts lines over what one origin had set.
func overlay(live []config.Live, origin config.Origin, lines []messages.ConfigLine, replace bool) []config.Live {
	var out []config.Live
	for _, l := range live {
		if l.Origin != origin || !replace && !slices.ContainsFunc(lines, func(n messages.ConfigLine) bool { return strings.EqualFold(n.Name, l.Name) }) {
			out = append(out, l)
		}
	}
	for i, l := range lines {
		if l.Reset {
			continue
		}
		name := config.Find(l.Name).Name
		at := slices.IndexFunc(out, func(o config.Live) bool { return o.Name == name && o.Origin == origin })
		switch {
		case at < 0:
			out = append(out, config.Live{Name: name, Values: []string{l.Value}, Origin: origin})
		case firstOf(lines[:i], name):
			out[at].Values = []string{l.Value}
		default:
			out[at].Values = append(slices.Clone(out[at].Values), l.Value)
		}
	}
	return out
}

// firstOf: does no earlier line name the option?
func firstOf(earlier []messages.ConfigLine, name string) bool {
	return !slices.ContainsFunc(earlier, func(l messages.ConfigLine) bool { return !l.Reset && strings.EqualFold(l.Name, name) })
}
