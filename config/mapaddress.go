package config

import (
	"net/netip"
	"strings"
)

// Mapping is one MapAddress: a host, or with "*." in front what is below a domain.
type Mapping struct{ From, To string }

// The longest prefixes of networks for virtual addresses, as in C tor: in a smaller one
// addresses come back soon, and stand for another name than a program still believes.
const (
	maxVirtual4 = 16
	maxVirtual6 = 104
)

var mapOptions = []Option{
	custom(Option{
		Name: "MapAddress", Default: "", List: true, Class: Hot, RemoteDenied: deniedListener,
		Effect:  "From the next stream on.",
		Range:   "HOST HOST; each a name, an address or *.DOMAIN",
		Doc:     "Turn requests for the first host into requests for the second. *.DOMAIN is the domain and all below it; in the second place it keeps what was below, and needs one in the first. Rules may follow each other 16 times. IsolateDestAddr keeps apart what was asked for.",
		Differs: ".exit is refused.",
	}, "mapping", (*builder).mapAddress, func(c *Config) (out []string) {
		for _, m := range c.MapAddresses {
			out = append(out, m.From+" "+m.To)
		}
		return out
	}),
	flag(Option{
		Name: "AutomapHostsOnResolve", Default: "0", Class: Hot, Effect: "From the next question on.", RemoteDenied: deniedListener,
		Doc: "Answer questions for the address of names with AutomapHostsSuffixes with a virtual address, which stands for the name when it is connected to: for programs that insist on addresses. 8192 names have one at a time.",
	}, func(c *Config) *bool { return &c.AutomapHostsOnResolve }),
	custom(Option{
		Name: "AutomapHostsSuffixes", Default: ".onion", Class: Hot, Effect: "From the next question on.", RemoteDenied: deniedListener,
		Range:   "suffixes that begin with a dot, separated by commas; . is every name",
		Doc:     "The names that AutomapHostsOnResolve is for.",
		Differs: "The default is without .exit, which is refused.",
	}, "suffixes", (*builder).automapSuffixes, func(c *Config) []string { return set(strings.Join(c.AutomapHostsSuffixes, ",")) }),
	custom(Option{
		Name: "VirtualAddrNetworkIPv4", Default: "127.192.0.0/10", Class: Hot, Effect: "From the next question on; virtual addresses outside of it are forgotten.", RemoteDenied: deniedListener,
		Range: "an IPv4 network of at most 16 bits",
		Doc:   "Where virtual addresses are from. Requests for an address of it that stands for no name are refused.",
	}, "network", func(b *builder, l Line) { b.virtual(l, &b.cfg.VirtualAddrNetworkIPv4, false, maxVirtual4) },
		func(c *Config) []string { return []string{c.VirtualAddrNetworkIPv4.String()} }),
	custom(Option{
		Name: "VirtualAddrNetworkIPv6", Default: "[fe80::]/10", Class: Hot, Effect: "From the next question on; virtual addresses outside of it are forgotten.", RemoteDenied: deniedListener,
		Range: "an IPv6 network of at most 104 bits",
		Doc:   "Where virtual IPv6 addresses are from, likewise.",
	}, "network", func(b *builder, l Line) { b.virtual(l, &b.cfg.VirtualAddrNetworkIPv6, true, maxVirtual6) },
		func(c *Config) []string {
			p := c.VirtualAddrNetworkIPv6
			return []string{"[" + p.Addr().String() + "]" + strings.TrimPrefix(p.String(), p.Addr().String())}
		}),
}

func (b *builder) mapAddress(l Line) {
	f := strings.Fields(strings.ToLower(l.Value))
	if len(f) != 2 {
		b.fail(l, ErrValue, "needs two hosts")
		return
	}
	_, below := strings.CutPrefix(f[0], "*.")
	to, keeps := strings.CutPrefix(f[1], "*.")
	switch {
	case keeps && !below:
		b.fail(l, ErrValue, "*. in the second host needs one in the first")
	case !validHost(strings.TrimPrefix(f[0], "*.")) || !validHost(to):
		b.fail(l, ErrValue, "not a host name or an address")
	case strings.HasSuffix("."+f[0], ".exit") || strings.HasSuffix("."+to, ".exit"):
		b.fail(l, ErrUnsupported, ".exit names are not supported")
	default:
		b.cfg.MapAddresses = append(b.cfg.MapAddresses, Mapping{f[0], f[1]})
	}
}

// checkMapping refuses rules that lead back to where they began: nothing asked for there
// could ever be had.
func (b *builder) checkMapping() {
	to := map[string]string{}
	for _, m := range b.cfg.MapAddresses {
		if _, below := strings.CutPrefix(m.From, "*."); !below {
			to[m.From] = m.To
		}
	}
	for _, m := range b.cfg.MapAddresses {
		at, follows := to[m.From]
		for range to {
			if !follows || at == m.From {
				break
			}
			at, follows = to[at]
		}
		if follows && at == m.From && to[m.From] != m.From {
			b.fail(b.set["MapAddress"], ErrConflict, "the rules for %s go in a circle", clip(m.From))
			return
		}
	}
}

// validHost is the rule of socks.ParseHost, which config does not import, but for
// the keys of onion addresses.
func validHost(s string) bool {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Zone() == ""
	}
	if len(s) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
		last = label
	}
	return strings.Trim(strings.TrimPrefix(last, "0x"), "0123456789abcdef") != "" || strings.Trim(last, "abcdef") == ""
}

func (b *builder) automapSuffixes(l Line) {
	b.cfg.AutomapHostsSuffixes = nil
	for s := range strings.SplitSeq(strings.ToLower(l.Value), ",") {
		s = strings.Trim(s, blank)
		switch {
		case !strings.HasPrefix(s, ".") || s != "." && !validHost(s[1:]):
			b.fail(l, ErrValue, "%q is not a suffix that begins with a dot", clip(s))
		case s == ".exit":
			b.fail(l, ErrUnsupported, ".exit names are not supported")
		default:
			b.cfg.AutomapHostsSuffixes = append(b.cfg.AutomapHostsSuffixes, s)
		}
	}
}

func (b *builder) virtual(l Line, field *netip.Prefix, v6 bool, most int) {
	text := strings.NewReplacer("[", "", "]", "").Replace(l.Value)
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is6() != v6 || p.Bits() > most {
		b.fail(l, ErrValue, "%q is not a network of at most %d bits: in a smaller one virtual addresses would soon stand for another name", clip(l.Value), most)
		return
	}
	*field = p.Masked()
}
