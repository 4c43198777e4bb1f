package config

// Reach is over which version of IP relays are connected to.
type Reach struct {
	ClientUseIPv4          bool
	ClientUseIPv6          bool
	ClientPreferIPv6ORPort string // auto, 0 or 1
}

const newAddresses = "Connections and circuits made before take no new streams and end with their last."

var reachOptions = []Option{
	flag(Option{
		Name: "ClientUseIPv4", Default: "1", Class: Rebuild, Effect: newAddresses, RemoteDenied: deniedPaths,
		Doc: "Connect to relays over IPv4. Off, guards and directories are only those that have an IPv6 address; others are passed over, and do not count as failed. Set it to 0 on a machine that has IPv6 only.",
	}, func(c *Config) *bool { return &c.ClientUseIPv4 }),
	flag(Option{
		Name: "ClientUseIPv6", Default: "1", Class: Rebuild, Effect: newAddresses, RemoteDenied: deniedPaths,
		Doc:     "Connect to relays over IPv6, where they have no IPv4 address that may be used or ClientPreferIPv6ORPort asks for it. With a Socks4Proxy it is never done: SOCKS4 has no IPv6.",
		Differs: "ClientUseIPv4 0 and ClientPreferIPv6ORPort 1 contradict ClientUseIPv6 0; with C tor they go before it.",
	}, func(c *Config) *bool { return &c.ClientUseIPv6 }),
	auto(Option{
		Name: "ClientPreferIPv6ORPort", Default: "auto", Class: Rebuild, Effect: newAddresses, RemoteDenied: deniedPaths,
		Doc: "Connect over IPv6 to relays that have an address of each sort. auto and 0 prefer IPv4. Most clients do so: with 1, a guard can tell this one by it.",
	}, func(c *Config) *string { return &c.ClientPreferIPv6ORPort }),
}

// checkReach finds contradictions among these options, and that nobody is left to ask.
func (b *builder) checkReach() {
	c := &b.cfg
	if !c.ClientUseIPv6 && c.ClientPreferIPv6ORPort == "1" {
		b.fail(b.set["ClientPreferIPv6ORPort"], ErrConflict, "IPv6 cannot be preferred with ClientUseIPv6 0")
	}
	if c.Socks4Proxy.IsValid() && c.ClientPreferIPv6ORPort == "1" {
		b.fail(b.set["ClientPreferIPv6ORPort"], ErrConflict, "IPv6 cannot be preferred with a Socks4Proxy: SOCKS4 has no IPv6")
	}
	switch l := b.set["ClientUseIPv4"]; {
	case c.ClientUseIPv4:
	case !c.ClientUseIPv6:
		b.fail(l, ErrConflict, "with ClientUseIPv6 0 as well no relay can be connected to")
	case c.Socks4Proxy.IsValid():
		b.fail(l, ErrConflict, "a Socks4Proxy cannot connect to relays over IPv6")
	case !c.directoryOverIPv6():
		b.fail(l, ErrConflict, "no DirAuthority and no FallbackDir has an IPv6 address (ipv6=): nobody is left to ask for the network's directory")
	}
}

// directoryOverIPv6: has one of those that are asked for the first documents an IPv6
// address? If there are none at all that is said elsewhere.
func (c *Config) directoryOverIPv6() bool {
	for _, f := range c.FallbackDirs {
		if f.IPv6.IsValid() {
			return true
		}
	}
	for _, a := range c.DirAuthorities {
		if a.IPv6.IsValid() {
			return true
		}
	}
	return len(c.DirAuthorities) == 0
}
