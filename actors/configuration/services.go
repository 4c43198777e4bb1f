package configuration

import (
	"errors"
	"fmt"
	"slices"

	"chive/config"
	"chive/messages"
)

// Onion services are added beside those of the files: to stay, which is a layer that
// revisions keep over restarts, or for this run, which is the operator's.

const serviceDir = "HiddenServiceDir"

// toAdd is what revisions keep of services, as far as it is that.
func toAdd(kept []config.Live) (out []config.Live) {
	for _, l := range kept {
		if l.Name == serviceDir && len(l.Values) > 0 {
			out = append(out, config.Live{Name: serviceDir, Values: l.Values, Origin: config.FromAdded, Append: true})
		}
	}
	return out
}

// passing is the services of the operator's layer that were added for this run.
func passing(live []config.Live) (out []config.Live) {
	for _, l := range only(live, config.FromOperator) {
		if l.Append {
			out = append(out, l)
		}
	}
	return out
}

// asPassing is what a revision says of them.
func asPassing(kept []config.Live) (out []config.Live) {
	for _, l := range toAdd(kept) {
		l.Origin = config.FromOperator
		out = append(out, l)
	}
	return out
}

// added is the services of a layer that are to outlive the run, with those that are set
// aside.
func (b *book) added(live []config.Live) []config.Live {
	return merged(append(only(live, config.FromAdded), b.aside...))
}

// merged is one Live of all; none of none.
func merged(all []config.Live) []config.Live {
	var values []string
	for _, l := range all {
		values = append(values, l.Values...)
	}
	return toAdd([]config.Live{{Name: serviceDir, Values: values}})
}

// plain is the lines that are neither added nor taken out.
func plain(lines []messages.ConfigLine) []messages.ConfigLine {
	return slices.DeleteFunc(slices.Clone(lines), func(l messages.ConfigLine) bool { return l.Append || l.Remove })
}

// service does what the lines of a proposal say that add services and take them out.
func (p *plan) service(running *config.Config, b *book) error {
	m := p.job.proposal
	for _, l := range m.Lines {
		var err error
		switch {
		case l.Append:
			err = p.addService(running, l.Value, m.Keep)
		case l.Remove:
			err = p.removeService(running, l.Value)
		case m.Keep:
			err = errors.New("only what is added outlives the run: write other options into the torrc")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addService puts a service behind those of its layer.
func (p *plan) addService(running *config.Config, value string, keep bool) error {
	folder, err := config.ServiceFolder(value)
	if err != nil {
		return fmt.Errorf("%s: %w", serviceDir, err)
	}
	_, waits := withoutService(append(slices.Clone(p.live), p.aside...), folder)
	if waits || slices.ContainsFunc(running.OnionServices, func(s config.OnionService) bool { return s.Dir == folder }) {
		return fmt.Errorf("%s %s is there already: to change it, chive onion rm it first, or change the torrc if it stands there", serviceDir, folder)
	}
	origin := config.FromOperator
	if keep {
		origin = config.FromAdded
	}
	p.live = slices.Clone(p.live)
	for i, l := range p.live {
		if l.Name == serviceDir && l.Origin == origin && l.Append {
			p.live[i].Values = append(slices.Clone(l.Values), value)
			return nil
		}
	}
	p.live = append(p.live, config.Live{Name: serviceDir, Values: []string{value}, Origin: origin, Append: true})
	return nil
}

// removeService takes a service out of the layer that has it.
func (p *plan) removeService(running *config.Config, folder string) error {
	folder, err := config.ServiceFolder(folder)
	if err != nil {
		return fmt.Errorf("%s: %w", serviceDir, err)
	}
	var found, aside bool
	p.live, found = withoutService(p.live, folder)
	p.aside, aside = withoutService(p.aside, folder)
	if found || aside {
		return nil
	}
	for i := range running.OnionServices {
		if s := &running.OnionServices[i]; s.Dir == folder {
			return fmt.Errorf("%s %s was not added by chive onion add, but by %s: take it out there%s", serviceDir, folder, sayer(s.From), then(s.From))
		}
	}
	return fmt.Errorf("%s %s: the node hosts no such service", serviceDir, folder)
}

func sayer(o config.Origin) string {
	switch o {
	case config.FromFile:
		return "the torrc"
	case config.FromEnvironment:
		return "a variable of the environment"
	default:
		return "the " + o.String()
	}
}

// then is what has to follow.
func then(o config.Origin) string {
	if o == config.FromFile {
		return ", then chive reload"
	}
	return ", and start the node again"
}

// withoutService takes a service out of the operator's layers.
func withoutService(live []config.Live, folder string) (out []config.Live, found bool) {
	for _, l := range live {
		if l.Name == serviceDir && l.Origin != config.FromFleet {
			n := len(l.Values)
			l.Values = slices.DeleteFunc(slices.Clone(l.Values), func(v string) bool {
				f, err := config.ServiceFolder(v)
				return err == nil && f == folder
			})
			found = found || len(l.Values) < n
			if len(l.Values) == 0 {
				continue // nothing is left to add
			}
		}
		out = append(out, l)
	}
	return out, found
}

// withoutAdded is the values of an option that are not those of services that were added.
func withoutAdded(option string, values []string, added []config.Live) []string {
	if option != serviceDir {
		return values
	}
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool {
		folder, err := config.ServiceFolder(v)
		return err == nil && slices.ContainsFunc(added, func(l config.Live) bool {
			return slices.ContainsFunc(l.Values, func(a string) bool {
				f, err := config.ServiceFolder(a)
				return err == nil && f == folder
			})
		})
	})
}
