package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"chive/actors/configuration"
	"chive/actors/hosting"
	"chive/actors/keystore"
	"chive/config"
	"chive/messages"
	"chive/tor/onion"
	"chive/tor/onion/keyfile"
)

// folders are what the folders of onion services held when the services read them last. It
// is not in the configuration, so that a reload has to say what of it changed.
type folders struct {
	mu   sync.Mutex // protects seen; surveys are not changed
	seen map[string]*keystore.Survey
}

// reads: does a service read its folder again with a change?
func reads(c *configuration.Change, s *config.OnionService) bool {
	return c.Reread || !slices.ContainsFunc(c.Old.OnionServices, func(o config.OnionService) bool { return o.Equal(s) })
}

// note keeps what the services of a change have read. One that cannot be surveyed is not
// compared the next time.
func (f *folders) note(c configuration.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := map[string]*keystore.Survey{}
	for i := range c.New.OnionServices {
		s := &c.New.OnionServices[i]
		if seen[s.Dir] = f.seen[s.Dir]; seen[s.Dir] == nil || reads(&c, s) {
			found, err := keystore.SurveyService(s.Dir, s.DirGroupReadable, s.OnionBalance)
			if err != nil {
				found = nil
			}
			seen[s.Dir] = found
		}
	}
	f.seen = seen
}

func (f *folders) known(dir string) *keystore.Survey {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen[dir]
}

// Look implements configuration.Looker: it tells what is new in the folders of services, and
// refuses what would end a service that runs.
func (p *hostingParts) Look(_ context.Context, c configuration.Change) (notes []messages.ConfigNote, err error) {
	hosted := sync.OnceValue(func() []hosting.Status {
		all, err := p.n.hosted()
		if err != nil { // what hosts them is being started anew: what it cannot host it says itself
			return nil
		}
		return all
	})
	for i := range c.New.OnionServices {
		s := &c.New.OnionServices[i]
		if !reads(&c, s) {
			continue
		}
		var now *hosting.Status
		if hosts(c.Old, s.Dir) {
			all := hosted()
			if at := slices.IndexFunc(all, func(h hosting.Status) bool { return h.Dir == s.Dir }); at >= 0 {
				now = &all[at]
			}
		}
		found, err := lookAt(s, p.n.folders.known(s.Dir), now, p.n.o.Now())
		if err != nil {
			return nil, err
		}
		notes = append(notes, found...)
	}
	return notes, nil
}

// lookAt compares a service's folder with what it held; status is nil for a service that is
// not hosted yet.
func lookAt(s *config.OnionService, before *keystore.Survey, status *hosting.Status, now time.Time) ([]messages.ConfigNote, error) {
	after, err := keystore.SurveyService(s.Dir, s.DirGroupReadable, s.OnionBalance)
	runs := status != nil && status.Address != ""
	switch {
	case err != nil && runs:
		return nil, ends(s, err)
	case err != nil && status != nil:
		return []messages.ConfigNote{{Path: s.Dir, Text: "the service does not run: " + status.Problem, Warning: true}}, nil
	case err != nil: // it is made, or refused, when the change is
		return nil, nil
	case runs && status.Address != after.Address.Host():
		return nil, ends(s, errors.New("it holds the keys of another onion service than the one that is hosted from it"))
	}
	over := !after.Key && !after.Until.After(now)
	if runs && over && before != nil && (before.Key || !before.Until.Equal(after.Until)) {
		return nil, ends(s, fmt.Errorf("%w on %s UTC", keystore.ErrOver, after.Until.UTC().Format(time.DateTime)))
	}
	return append(changesIn(s.Dir, before, after, over), warningsOf(s.Dir, after, over)...), nil
}

// ends is the error of a service that runs and could not any more.
func ends(s *config.OnionService, why error) error {
	out := "take the service out of the torrc"
	if s.From >= config.FromOperator {
		out = "take the service out with chive onion rm"
	}
	if errors.Is(why, fs.ErrNotExist) {
		why = errors.New("the folder, or a part of it, is not there any more")
	}
	return fmt.Errorf("%s: its service runs and would end: %w; put back what was there, or %s", s.Dir, why, out)
}

// warningsOf are what is not right in a folder, whatever it held before.
func warningsOf(dir string, s *keystore.Survey, over bool) []messages.ConfigNote {
	var notes []messages.ConfigNote
	if over {
		notes = append(notes, messages.ConfigNote{
			Path: dir, Text: fmt.Sprintf("%v on %s UTC: the service is not hosted until there are others (chive onion delegate)",
				keystore.ErrOver, s.Until.UTC().Format(time.DateTime)), Warning: true,
		})
	}
	return append(notes, skipped(filepath.Join(dir, keyfile.ClientsDir), s.Skipped)...)
}

// skipped are warnings of files that hold no key.
func skipped(dir string, all []keystore.Skipped) (notes []messages.ConfigNote) {
	for _, s := range all {
		notes = append(notes, messages.ConfigNote{Path: filepath.Join(dir, s.File), Text: "it is passed over: " + s.Why, Warning: true})
	}
	return notes
}

// changesIn says what is new in a folder. Nothing is known of one that was not read before.
func changesIn(dir string, before, after *keystore.Survey, over bool) (notes []messages.ConfigNote) {
	if before == nil {
		return nil
	}
	say := func(warning bool, format string, args ...any) {
		notes = append(notes, messages.ConfigNote{Path: dir, Text: fmt.Sprintf(format, args...), Warning: warning})
	}
	until := after.Until.UTC().Format(time.DateTime)
	switch {
	case before.Key && !after.Key:
		say(false, "the identity key is here no more: the service goes on with delegated keys, until %s UTC", until)
	case !before.Key && after.Key:
		say(false, "the identity key is here: the service goes on with it")
	case !after.Key && !over && !before.Until.Equal(after.Until):
		say(false, "there are other delegated keys, until %s UTC", until)
	}
	for _, name := range after.Missing {
		say(false, "%s was missing or changed: it is written again", name)
	}
	came, went, other := differ(before.Clients, after.Clients)
	for what, names := range map[string][]string{
		"may find it now": came, "may not find it any more, and is cut off": went, "has another key": other,
	} {
		if len(names) > 0 {
			say(false, "%s: %s", what, names8(names))
		}
	}
	slices.SortFunc(notes, func(a, b messages.ConfigNote) int { return strings.Compare(a.Text, b.Text) })
	switch was, is := before.Restricted(), after.Restricted(); {
	case is && !was:
		say(false, "from now on only authorised clients find the service")
	case was && !is:
		say(true, "no client is authorised any more: from now on everybody who knows the address finds the service")
	}
	return notes
}

// differ compares keys by name.
func differ[K comparable, V comparable](before, after map[K]V) (came, went, other []K) {
	for name, key := range after {
		switch had, ok := before[name]; {
		case !ok:
			came = append(came, name)
		case had != key:
			other = append(other, name)
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			went = append(went, name)
		}
	}
	return came, went, other
}

// names8 lists names, eight at most.
func names8(names []string) string {
	slices.Sort(names)
	if n := len(names) - 8; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:8], ", "), n)
	}
	return strings.Join(names, ", ")
}

// Look implements configuration.Looker.
func (p *onionParts) Look(_ context.Context, c configuration.Change) ([]messages.ConfigNote, error) {
	dir := c.New.ClientOnionAuthDir
	if dir == "" || dir == c.Old.ClientOnionAuthDir && !c.Reread {
		return nil, nil
	}
	keys, junk, err := keystore.ClientAuths(dir)
	if err != nil {
		return nil, err
	}
	var notes []messages.ConfigNote
	if before := p.n.onionKeys.Load(); before != nil && dir == c.Old.ClientOnionAuthDir {
		came, went, other := differ(*before, keys)
		if n := len(came) + len(went) + len(other); n > 0 {
			notes = []messages.ConfigNote{{Path: dir, Text: fmt.Sprintf("keys to visit onion services with: %d new, %d gone, %d changed", len(came), len(went), len(other))}}
		}
	}
	return append(notes, skipped(dir, junk)...), nil
}

// LookAtFolders tells what is not right in the folders of keys that a configuration names,
// without a node. What is not there yet is made by one.
func LookAtFolders(c *config.Config, now time.Time) (notes []messages.ConfigNote) {
	cannot := func(dir string, err error) {
		if !errors.Is(err, fs.ErrNotExist) {
			notes = append(notes, messages.ConfigNote{Path: dir, Text: "a node will not start with it as it is: " + err.Error(), Warning: true})
		}
	}
	for i := range c.OnionServices {
		s := &c.OnionServices[i]
		found, err := keystore.SurveyService(s.Dir, s.DirGroupReadable, s.OnionBalance)
		fresh := errors.Is(err, keystore.ErrNoKeys) && found.Address == (onion.Address{})
		if err != nil && !fresh {
			cannot(s.Dir, err)
		} else {
			notes = append(notes, warningsOf(s.Dir, found, !fresh && !found.Key && !found.Until.After(now))...)
		}
	}
	if dir := c.ClientOnionAuthDir; dir != "" {
		if _, junk, err := keystore.ClientAuths(dir); err != nil {
			cannot(dir, err)
		} else {
			notes = append(notes, skipped(dir, junk)...)
		}
	}
	return notes
}
