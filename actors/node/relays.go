package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"chive/actors/configuration"
	"chive/actors/directory"
	"chive/config"
	"chive/tor/geoip"
	"chive/tor/netdoc"
	"chive/tor/nodeset"
	"chive/tor/path"
	"chive/tor/reach"
)

// countries are the GeoIP files as they were read last. They are read when a set of
// relays names a country, and again when a configuration is proposed after they changed.
type countries struct {
	mu sync.Mutex // protects the fields below
	of [2]geoFile
	db *geoip.DB
}

// geoFile tells one state of a file from another.
type geoFile struct {
	name    string
	size    int64
	changed time.Time
}

// read gives the database for a configuration; nil if it needs none.
func (g *countries) read(c *config.Config) (*geoip.DB, error) {
	if !c.Nodes.Countries() {
		return nil, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var of [2]geoFile
	for i, name := range [...]string{c.GeoIPFile, c.GeoIPv6File} {
		info, err := os.Stat(name)
		switch {
		case err != nil:
			return nil, g.failed(i, err)
		case !info.Mode().IsRegular() || info.Size() > geoip.MaxBytes:
			return nil, g.failed(i, fmt.Errorf("%s is not a file of at most %d bytes", name, geoip.MaxBytes))
		}
		of[i] = geoFile{name, info.Size(), info.ModTime()}
	}
	if g.db != nil && of == g.of {
		return g.db, nil
	}
	var texts [2][]byte
	for i, f := range of {
		var err error
		if texts[i], err = os.ReadFile(f.name); err != nil {
			return nil, g.failed(i, err)
		}
	}
	db, err := geoip.Parse(texts[0], texts[1])
	if err != nil {
		return nil, fmt.Errorf("GeoIPFile, GeoIPv6File: %w", err)
	}
	g.of, g.db = of, db
	return db, nil
}

func (g *countries) failed(i int, err error) error {
	return fmt.Errorf("%s: %w; a set of relays names a country, which needs it (Debian's package tor-geoipdb has it)",
		[2]string{"GeoIPFile", "GeoIPv6File"}[i], err)
}

// last is the database that was read last.
func (g *countries) last() *geoip.DB {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.db
}

// errNobody refuses a configuration by which no directory may be asked.
var errNobody = errors.New("by ExcludeNodes with StrictNodes, ClientUseIPv4 and ClientUseIPv6 no directory authority and no fallback directory may be asked: nobody is left to ask for the network's directory")

// nodeParts are the rules for relays: what they need is read before they change.
type nodeParts struct{ n *Node }

func (p *nodeParts) Name() string { return "ExcludeNodes" }

func (p *nodeParts) Prepare(_ context.Context, c configuration.Change) (configuration.Step, error) {
	return configuration.Step{}, p.n.readRelayRules(c.New)
}

// readRelayRules reads what the rules of a configuration need, or says why they cannot
// be followed.
func (n *Node) readRelayRules(c *config.Config) error {
	db, err := n.countries.read(c)
	if err != nil {
		return err
	}
	rules := relayRules(c, db)
	if len(askable(c, rules, authorities(c))) == 0 && len(askable(c, rules, fallbacks(c))) == 0 {
		return errNobody
	}
	return nil
}

// relayRules are what the user says of relays; nil: nothing.
func relayRules(c *config.Config, db *geoip.DB) *nodeset.Rules {
	r := &nodeset.Rules{
		Exclude: nodes(&c.ExcludeNodes), ExcludeExit: nodes(&c.ExcludeExitNodes),
		Entry: nodes(&c.EntryNodes), Middle: nodes(&c.MiddleNodes), Exit: nodes(&c.ExitNodes),
		Second: nodes(&c.HSLayer2Nodes), Third: nodes(&c.HSLayer3Nodes),
		GeoIP: db, ExcludeUnknown: c.GeoIPExcludeUnknown != "0",
	}
	for _, s := range []*nodeset.Set{&r.Exclude, &r.ExcludeExit, &r.Entry, &r.Middle, &r.Exit, &r.Second, &r.Third} {
		if !s.Empty() {
			return r
		}
	}
	return nil
}

func nodes(s *config.NodeSet) (out nodeset.Set) {
	for _, r := range s.Relays {
		out.Relays = append(out.Relays, netdoc.Digest(r))
	}
	for _, code := range s.Countries {
		c, _ := geoip.ParseCountry(code) // config has checked it
		out.Countries = append(out.Countries, c)
	}
	out.Networks = slices.Clone(s.Networks)
	return out
}

// askable are those of some directories that may be asked: that can be reached, and with
// StrictNodes are not excluded.
func askable(c *config.Config, rules *nodeset.Rules, all []directory.Target) []directory.Target {
	reached := reachRules(c)
	return slices.DeleteFunc(all, func(t directory.Target) bool {
		return !reached.Reaches(t.IPv4, t.IPv6) ||
			c.StrictNodes && rules.Excluded(&netdoc.RouterStatus{Identity: t.Identity, IPv4: t.IPv4, IPv6: t.IPv6})
	})
}

// reachRules say over which version of IP relays are connected to.
func reachRules(c *config.Config) reach.Rules {
	return reach.Rules{
		NoIPv4: !c.ClientUseIPv4, NoIPv6: !c.ClientUseIPv6 || c.Socks4Proxy.IsValid(),
		PreferIPv6: c.ClientPreferIPv6ORPort == "1",
	}
}

func pathOptions(c *config.Config, rules *nodeset.Rules) path.Options {
	ports := c.LongLivedPorts
	if ports == nil {
		ports = []uint16{} // none, not the default ones
	}
	return path.Options{EnforceDistinctSubnets: c.EnforceDistinctSubnets, LongLivedPorts: ports, Nodes: rules}
}

// pathRules names the user's rules for paths, and for the directories to ask.
func pathRules(c *config.Config) string {
	return fmt.Sprint(c.EnforceDistinctSubnets, c.LongLivedPorts, c.Nodes, reachRules(c))
}
