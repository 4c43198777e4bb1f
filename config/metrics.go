package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// metricsOptions are where others read what the node counts.
var metricsOptions = []Option{
	custom(Option{
		Name: "MetricsPort", Default: "0", List: true, Class: Hot, RemoteDenied: deniedListener,
		Effect: "At once, as SocksPort. A request under way is answered.",
		Range:  "[address:]port, auto or 0, then prometheus if wanted",
		Doc: "Where Prometheus, or whoever reads its text format, asks for GET /metrics over HTTP. MetricsPortPolicy says who may: without one nobody, as with C tor. " +
			"What is told are counts, no label names a client, a target or a relay; but the addresses of the onion services that the node hosts are in it, with how much each is used. So keep it to this machine, or to the one machine that gathers.",
		Differs: "An address beyond loopback needs a MetricsPortPolicy that accepts somebody. On loopback, requests are answered only if they were sent to an address or to localhost: no web page may read them by way of a browser on this machine.",
	}, "listener", (*builder).metricsPort, showListeners(Metrics)),
	custom(Option{
		Name: "MetricsPortPolicy", Default: "", List: true, Class: Hot, RemoteDenied: deniedListener,
		Effect:  "From the next request on.",
		Range:   "accept or reject, and an address, ADDRESS/BITS, *, *4, *6 or private; several stand behind commas or on lines of their own",
		Doc:     "Who may read at a MetricsPort. The first rule that has the client's address counts; whom none has is rejected. accept6 and reject6 are for IPv6 alone.",
		Differs: "A port behind the address is refused, except :*, which C tor ignores.",
	}, "policy", (*builder).metricsPolicy, func(c *Config) (out []string) {
		for _, r := range c.MetricsPolicy {
			out = append(out, r.String())
		}
		return out
	}),
}

// maxPolicy bounds the rules of a policy.
const maxPolicy = 1024

// Policy says whose addresses are accepted. The first rule that has one counts; the zero
// Policy accepts nobody.
type Policy []PolicyRule

// PolicyRule is one rule of a Policy.
type PolicyRule struct {
	Accept   bool
	Who      string // as a torrc has it
	Networks []netip.Prefix
}

// String is the value of a line.
func (r PolicyRule) String() string {
	if r.Accept {
		return "accept " + r.Who
	}
	return "reject " + r.Who
}

// Accepts says whether an address may come in.
func (p Policy) Accepts(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, r := range p {
		if slices.ContainsFunc(r.Networks, func(n netip.Prefix) bool { return n.Contains(a) }) {
			return r.Accept
		}
	}
	return false
}

// acceptsAnybody: is there a rule that accepts?
func (p Policy) acceptsAnybody() bool {
	return slices.ContainsFunc(p, func(r PolicyRule) bool { return r.Accept })
}

var (
	all4 = netip.MustParsePrefix("0.0.0.0/0")
	all6 = netip.MustParsePrefix("::/0")
	// privateNetworks are what C tor calls private.
	privateNetworks = func() (out []netip.Prefix) {
		for _, s := range []string{
			"0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
			"::/127", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
		} {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}()
)

// parseRule reads one rule.
func parseRule(text string) (PolicyRule, error) {
	words := strings.Fields(text)
	if len(words) != 2 {
		return PolicyRule{}, fmt.Errorf("%q is not a rule: write accept or reject and whom, as in accept 10.1.2.3 or reject *", clip(text))
	}
	verb, only6 := strings.CutSuffix(strings.ToLower(words[0]), "6")
	if verb != "accept" && verb != "reject" {
		return PolicyRule{}, fmt.Errorf("%q is not accept or reject", clip(words[0]))
	}
	r := PolicyRule{Accept: verb == "accept"}
	who := strings.TrimSuffix(words[1], ":*")
	switch strings.ToLower(who) {
	case "*":
		r.Who, r.Networks = "*", []netip.Prefix{all4, all6}
		if only6 {
			r.Who, r.Networks = "*6", []netip.Prefix{all6}
		}
		return r, nil
	case "*4":
		r.Who, r.Networks = "*4", []netip.Prefix{all4}
	case "*6":
		r.Who, r.Networks = "*6", []netip.Prefix{all6}
	case "private":
		r.Who, r.Networks = "private", privateNetworks
		if only6 {
			return r, fmt.Errorf("private names IPv4 networks, too: write %s", verb)
		}
	default:
		n, ok := parseNetwork(who)
		if !ok {
			return r, badNetwork(who)
		}
		r.Who, r.Networks = n.String(), []netip.Prefix{n}
		if n.IsSingleIP() {
			r.Who = n.Addr().String()
		}
	}
	if only6 && r.Networks[0].Addr().Is4() {
		return r, fmt.Errorf("%s is for IPv6 addresses", words[0])
	}
	return r, nil
}

func badNetwork(s string) error {
	return fmt.Errorf("%q is not an address or a network without a port, as in 10.1.2.3, 10.0.0.0/8 or [fd00::]/8", clip(s))
}

func (b *builder) metricsPolicy(l Line) {
	for text := range strings.SplitSeq(l.Value, ",") {
		r, err := parseRule(text)
		switch {
		case err != nil:
			b.fail(l, ErrValue, "%v", err)
			return
		case len(b.cfg.MetricsPolicy) >= maxPolicy:
			b.fail(l, ErrLimit, "more than %d rules", maxPolicy)
			return
		}
		b.cfg.MetricsPolicy = append(b.cfg.MetricsPolicy, r)
	}
}

// metricsPort reads "[address:]port|auto|0 [prometheus]".
func (b *builder) metricsPort(l Line) {
	where, format, err := splitListener(l.Value)
	format = strings.Trim(format, blank)
	switch {
	case err != nil:
		b.fail(l, ErrValue, "%v", err)
		return
	case strings.HasPrefix(where, "unix:"):
		b.fail(l, ErrConflict, "a MetricsPort has an address and a port: MetricsPortPolicy could tell nobody apart at a unix socket")
		return
	case format != "" && !strings.EqualFold(format, "prometheus"):
		b.fail(l, ErrValue, "%q is not a format: prometheus is the only one there is", clip(format))
		return
	case where == "0":
		if format != "" {
			b.fail(l, ErrValue, "MetricsPort 0 takes no format")
		}
		b.off[Metrics] = &l
		return
	}
	p := b.newListener(Metrics)
	if p.Address, p.Auto, err = listenAddress(where); err != nil {
		b.fail(l, ErrValue, "%v", err)
		return
	}
	b.checkTwice(l, &p)
	b.cfg.MetricsPorts = append(b.cfg.MetricsPorts, p)
	b.explicit[Metrics] = append(b.explicit[Metrics], nil)
}

// checkMetrics finds ports that nobody may read at, and refuses those that others reach
// while nothing says who may read.
func (b *builder) checkMetrics() {
	c := &b.cfg
	l, ok := b.set["MetricsPortPolicy"]
	if ok && len(c.MetricsPorts) == 0 {
		b.warn(l, "has no effect without a MetricsPort")
	}
	nobody := !c.MetricsPolicy.acceptsAnybody()
	for _, p := range c.MetricsPorts {
		l := b.set["MetricsPort"]
		switch {
		case nobody && p.Loopback():
			b.warn(l, "nobody may read at %s: MetricsPortPolicy accepts nobody; write MetricsPortPolicy accept 127.0.0.1, or who else may", p)
		case nobody:
			b.fail(l, ErrConflict, "%s is reachable from other machines, and no MetricsPortPolicy accepts anybody: say who may read, as in MetricsPortPolicy accept 10.1.2.3", p)
		case !p.Loopback():
			b.warn(l, "%s is reachable from other machines, and nothing of it is encrypted: it tells the addresses of the onion services hosted here", p)
		}
	}
}
