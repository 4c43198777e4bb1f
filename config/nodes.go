package config

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// NodeSet is relays as a torrc names them; the zero NodeSet is empty.
type NodeSet struct {
	Relays    []Fingerprint
	Countries []string // two letters, lower case; "??" for relays of which no country is known
	Networks  []netip.Prefix
}

// Empty reports whether the set names nothing.
func (s *NodeSet) Empty() bool { return len(s.Relays)+len(s.Countries)+len(s.Networks) == 0 }

// Nodes is what the user says of the relays of paths.
type Nodes struct {
	ExcludeNodes, ExcludeExitNodes     NodeSet
	EntryNodes, MiddleNodes, ExitNodes NodeSet
	HSLayer2Nodes, HSLayer3Nodes       NodeSet
	StrictNodes                        bool
	GeoIPFile, GeoIPv6File             string // absolute; "" for none
	GeoIPExcludeUnknown                string // auto, 0 or 1
}

// Countries reports whether a set names a country, so that the GeoIP files are needed.
func (n *Nodes) Countries() bool { return n.inCountries() != "" }

// inCountries names the first option whose set has a country; "" if none has.
func (n *Nodes) inCountries() string {
	for _, s := range n.sets() {
		if len(s.set.Countries) > 0 {
			return s.option
		}
	}
	return ""
}

// namedSet is the set of an option, with those that it must not be within.
type namedSet struct {
	option string
	set    *NodeSet
	bars   []*NodeSet
}

func (n *Nodes) sets() []namedSet {
	return []namedSet{
		{"EntryNodes", &n.EntryNodes, []*NodeSet{&n.ExcludeNodes}},
		{"MiddleNodes", &n.MiddleNodes, []*NodeSet{&n.ExcludeNodes}},
		{"ExitNodes", &n.ExitNodes, []*NodeSet{&n.ExcludeNodes, &n.ExcludeExitNodes}},
		{layer2Nodes, &n.HSLayer2Nodes, []*NodeSet{&n.ExcludeNodes}},
		{layer3Nodes, &n.HSLayer3Nodes, []*NodeSet{&n.ExcludeNodes}},
		{"ExcludeNodes", &n.ExcludeNodes, nil},
		{"ExcludeExitNodes", &n.ExcludeExitNodes, nil},
	}
}

const (
	layer2Nodes = "HSLayer2Nodes"
	layer3Nodes = "HSLayer3Nodes"

	newRules = "At once: circuits built by the old rules take no new streams and end with their last."
	setRange = "fingerprints ($HEX, with =NICKNAME or ~NICKNAME after it if wanted), {CC} countries and addresses or networks, separated by commas; several lines add up"
	costs    = "A path that others would not choose tells you apart from them: whoever sees several of your circuits can recognise you. chive warns at each start."
)

func nodeSet(o Option, field func(*Nodes) *NodeSet) Option {
	o.List, o.Class, o.Effect, o.Range, o.RemoteDenied = true, Rebuild, newRules, setRange, deniedPaths
	o.Doc += " " + costs
	return custom(o, "relays", func(b *builder, l Line) {
		if err := field(&b.cfg.Nodes).add(l.Value); err != nil {
			b.fail(l, ErrValue, "%v", err)
		}
	}, func(c *Config) []string { return set(field(&c.Nodes).String()) })
}

var nodeOptions = []Option{
	nodeSet(Option{
		Name:    "ExcludeNodes",
		Doc:     "Relays that no circuit goes through, in any position.",
		Differs: "C tor goes through them where it otherwise could not work, unless StrictNodes is 1; chive never does.",
	}, func(n *Nodes) *NodeSet { return &n.ExcludeNodes }),
	nodeSet(Option{
		Name: "ExcludeExitNodes",
		Doc:  "Relays that are no exit; those of ExcludeNodes are none anyway.",
	}, func(n *Nodes) *NodeSet { return &n.ExcludeExitNodes }),
	nodeSet(Option{
		Name: "ExitNodes",
		Doc:  "Exits are of these relays only, as far as they are exits at all. If none of them carries a port, streams to it fail.",
	}, func(n *Nodes) *NodeSet { return &n.ExitNodes }),
	nodeSet(Option{
		Name: "MiddleNodes",
		Doc:  "The relays in the middle are of these only. One may not be enough: a relay is on a path once.",
	}, func(n *Nodes) *NodeSet { return &n.MiddleNodes }),
	nodeSet(Option{
		Name: "EntryNodes",
		Doc:  "Guards are of these relays only, as far as they have the Guard flag; they are sampled and kept like any. Guards of before are kept for when the option goes.",
	}, func(n *Nodes) *NodeSet { return &n.EntryNodes }),
	nodeSet(Option{
		Name:    layer2Nodes,
		Doc:     "The second hop of circuits to onion services, and of those of hosted ones, is one of these relays. Up to twenty are all used, each as likely; of more chive uses as many as of the network, by weight, for days each (VanguardsLiteEnabled, VanguardsFull). It is for who picks the relays by himself, as the vanguards addon for C tor does: with none that can be used no onion service is reached or hosted, and one relay that sees all your circuits is not better than many.",
		Differs: "More than twenty are not all used. MiddleNodes holds for them as well.",
	}, func(n *Nodes) *NodeSet { return &n.HSLayer2Nodes }),
	nodeSet(Option{
		Name:    layer3Nodes,
		Doc:     "The third hop of such circuits is one of these relays: as HSLayer2Nodes, and some circuits are a hop longer, as with VanguardsFull. Without HSLayer2Nodes the second layer is chosen by chive.",
		Differs: "As HSLayer2Nodes. The second layer is used, be the consensus against it.",
	}, func(n *Nodes) *NodeSet { return &n.HSLayer3Nodes }),
	flag(Option{
		Name: "StrictNodes", Default: "0", Class: Rebuild, Effect: newRules, RemoteDenied: deniedPaths,
		Doc:     "Ask relays of ExcludeNodes for no directory document either, as fallback directories and authorities otherwise are.",
		Differs: "For circuits ExcludeNodes is always strict.",
	}, func(c *Config) *bool { return &c.StrictNodes }),
	path(Option{
		Name: "GeoIPFile", Default: "/usr/share/tor/geoip", Class: Rebuild, Effect: "At once, if a set names a country. If it cannot be read, nothing changes.", RemoteDenied: deniedFiles,
		Doc: "What country an IPv4 address is in: the file of Debian's package tor-geoipdb. It is read only when a set of relays names a country.",
	}, "file", func(c *Config) *string { return &c.GeoIPFile }),
	path(Option{
		Name: "GeoIPv6File", Default: "/usr/share/tor/geoip6", Class: Rebuild, Effect: "As GeoIPFile.", RemoteDenied: deniedFiles,
		Doc: "The same for IPv6 addresses.",
	}, "file", func(c *Config) *string { return &c.GeoIPv6File }),
	auto(Option{
		Name: "GeoIPExcludeUnknown", Default: "auto", Class: Rebuild, Effect: newRules, RemoteDenied: deniedPaths,
		Doc: "Where ExcludeNodes or ExcludeExitNodes names a country, relays of which no country is known are excluded as well. auto is 1.",
	}, func(c *Config) *string { return &c.GeoIPExcludeUnknown }),
}

// add reads a line's members.
func (s *NodeSet) add(value string) error {
	members := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	if len(members) == 0 {
		return fmt.Errorf("needs a relay: %s", setRange)
	}
	for _, m := range members {
		if err := s.member(m); err != nil {
			return err
		}
	}
	return nil
}

func (s *NodeSet) member(m string) error {
	if code, ok := strings.CutPrefix(m, "{"); ok {
		code, closed := strings.CutSuffix(strings.ToLower(code), "}")
		if !closed || !isCountry(code) {
			return fmt.Errorf("%q is not a country: two letters in braces, as {de}", clip(m))
		}
		s.Countries = append(s.Countries, code)
		return nil
	}
	if p, ok := parseNetwork(m); ok {
		s.Networks = append(s.Networks, p)
		return nil
	}
	text, marked := strings.CutPrefix(m, "$")
	if i := strings.IndexAny(text, "=~"); i >= 0 {
		text = text[:i]
	}
	b, err := hex.DecodeString(text)
	switch {
	case err == nil && len(b) == len(Fingerprint{}):
		s.Relays = append(s.Relays, Fingerprint(b))
		return nil
	case strings.ContainsAny(m, "*:") && !marked:
		return fmt.Errorf("%q is not an address or network, as 192.0.2.0/24 or [2001:db8::]/32; ports and * are refused, as a set is of relays", clip(m))
	case !marked && isNickname(m):
		return fmt.Errorf("%q is a nickname, which anybody can take: use the relay's fingerprint", clip(m))
	}
	return fmt.Errorf("%q is not a fingerprint (40 hex digits), a country ({de}) or a network (192.0.2.0/24)", clip(m))
}

func isCountry(code string) bool {
	if code == "??" {
		return true
	}
	return len(code) == 2 && strings.IndexFunc(code, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) < 0
}

func isNickname(s string) bool {
	return s != "" && len(s) <= 19 && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) < 0
}

// parseNetwork reads an address or network; an IPv6 one may be in brackets.
func parseNetwork(s string) (netip.Prefix, bool) {
	plain := strings.Replace(strings.TrimPrefix(s, "["), "]", "", 1)
	if strings.HasPrefix(s, "[") != strings.Contains(s, "]") {
		return netip.Prefix{}, false
	}
	if p, err := netip.ParsePrefix(plain); err == nil {
		return p.Masked(), p.Bits() > 0
	}
	a, err := netip.ParseAddr(plain)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), true
}

// String gives the set as a torrc would; "" when it is empty.
func (s *NodeSet) String() string {
	var out []string
	for _, r := range s.Relays {
		out = append(out, "$"+r.String())
	}
	for _, c := range s.Countries {
		out = append(out, "{"+c+"}")
	}
	for _, p := range s.Networks {
		text := p.String()
		if p.IsSingleIP() {
			text = p.Addr().String()
		}
		out = append(out, text)
	}
	return strings.Join(out, ",")
}

// checkNodes refuses sets that leave nothing, and says what the others cost.
func (b *builder) checkNodes() {
	n := &b.cfg.Nodes
	for _, s := range n.sets() {
		if s.set.Empty() {
			continue
		}
		l := b.set[s.option]
		if s.bars != nil && s.set.without(s.bars) {
			b.fail(l, ErrConflict, "every relay of it is excluded by ExcludeNodes or ExcludeExitNodes: no path is left")
			continue
		}
		if unknown := s.set.unknownCountries(); len(unknown) > 0 {
			b.warn(l, "%s is no country of ISO 3166: no relay is in it, unless GeoIPFile says otherwise", braced(unknown))
		}
		b.warn(l, "paths are chosen otherwise than other clients choose them, by which this client can be recognised")
	}
	b.checkLayers()
	if l, ok := b.set["StrictNodes"]; ok && n.StrictNodes && n.ExcludeNodes.Empty() {
		b.warn(l, "has no effect without ExcludeNodes")
	}
	if n.Countries() && (n.GeoIPFile == "" || n.GeoIPv6File == "") {
		b.fail(b.set[n.inCountries()], ErrConflict, "a country needs GeoIPFile and GeoIPv6File")
	}
}

// without: is every member, as far as can be said without a directory, in one of the
// others?
func (s *NodeSet) without(others []*NodeSet) bool {
	barred := func(in func(*NodeSet) bool) bool {
		for _, o := range others {
			if in(o) {
				return true
			}
		}
		return false
	}
	for _, r := range s.Relays {
		if !barred(func(o *NodeSet) bool { return slices.Contains(o.Relays, r) }) {
			return false
		}
	}
	for _, c := range s.Countries {
		if !barred(func(o *NodeSet) bool { return slices.Contains(o.Countries, c) }) {
			return false
		}
	}
	for _, p := range s.Networks {
		if !barred(func(o *NodeSet) bool { return o.covers(p) }) {
			return false
		}
	}
	return true
}

func (s *NodeSet) covers(p netip.Prefix) bool {
	for _, n := range s.Networks {
		if n.Bits() <= p.Bits() && n.Contains(p.Addr()) {
			return true
		}
	}
	return false
}
