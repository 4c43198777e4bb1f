package testnet

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const consensusPath = "/tor/status-vote/current/consensus-microdesc"

// A summary is what status shows of a consensus. It is not a parser to trust: the
// document comes from an authority of our own.
type summary struct {
	valid      []string            // valid-after, fresh-until, valid-until lines
	flags      map[string][]string // by nickname
	over6      map[string]string   // IPv6 addresses, likewise
	weights    string              // bandwidth-weights line
	params     string
	signatures int
}

func summarise(text string) summary {
	s := summary{flags: map[string][]string{}, over6: map[string]string{}}
	name := ""
	for line := range strings.Lines(text) {
		key, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "valid-after", "fresh-until", "valid-until":
			s.valid = append(s.valid, key+" "+rest)
		case "r":
			name, _, _ = strings.Cut(rest, " ")
		case "a":
			s.over6[name] = rest
		case "s":
			s.flags[name] = strings.Fields(rest)
		case "bandwidth-weights":
			s.weights = rest
		case "params":
			s.params = rest
		case "directory-signature":
			s.signatures++
		}
	}
	return s
}

// counts says how many relays have each flag.
func (s summary) counts() string {
	n := map[string]int{}
	for _, fl := range s.flags {
		for _, f := range fl {
			n[f]++
		}
	}
	var out []string
	for _, f := range slices.Sorted(maps.Keys(n)) {
		out = append(out, fmt.Sprintf("%s %d", f, n[f]))
	}
	return strings.Join(out, ", ")
}

// checkConsensus compares each relay's flags with the plan: an incomplete first
// consensus is an error, for it would last an hour.
func (n *Network) checkConsensus(text string) error {
	s := summarise(text)
	var errs []error
	for _, x := range n.Nodes() {
		if x.Role == RoleOnion {
			continue
		}
		got := s.flags[x.Name]
		want := []string{"Running", "Valid", "V2Dir", "HSDir", "Stable"}
		if x.Role == RoleAuth {
			want = append(want, "Authority")
		} else {
			want = append(want, "Fast")
		}
		for flag, planned := range map[string]bool{"Guard": x.Guard, "Exit": x.Exit} {
			if planned {
				want = append(want, flag)
			} else if slices.Contains(got, flag) {
				errs = append(errs, fmt.Errorf("%s has the flag %s", x.Name, flag))
			}
		}
		if at := x.IPv6(); at.IsValid() && s.over6[x.Name] != at.String() {
			errs = append(errs, fmt.Errorf("%s has the IPv6 address %q, want %v", x.Name, s.over6[x.Name], at))
		}
		for _, flag := range want {
			if !slices.Contains(got, flag) {
				errs = append(errs, fmt.Errorf("%s lacks the flag %s", x.Name, flag))
			}
		}
	}
	// A majority; the signature of one that was slow is added later.
	if 2*s.signatures <= n.opts.Auths {
		errs = append(errs, fmt.Errorf("%d signatures of %d", s.signatures, n.opts.Auths))
	}
	if len(errs) > 0 {
		return fmt.Errorf("first consensus: %w", errors.Join(errs...))
	}
	return nil
}
