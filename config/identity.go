package config

import "time"

const nextIdentityStream = "From the next stream on."

// identityOptions are the policy for identities: user names, of SOCKS or HTTP, with their passwords.
var identityOptions = []Option{
	interval(Option{
		Name: "IdentityMaxAge", Default: "0", Own: true, Class: Hot, Effect: nextIdentityStream, RemoteDenied: deniedIsolation,
		Doc: "Renew an identity, a user name with its password, as SOCKS has them and HTTP in Proxy-Authorization, this long after its first stream: the next one goes over another circuit, as after chive renew, and open streams go on. 0 is no limit; else it is 10 seconds or more. " +
			"Each renewal costs the network a circuit: CircuitRate bounds those of all identities together, and what is beyond it waits. Guards stay the same.",
	}, time.Second, 0, month, func(c *Config) *time.Duration { return &c.IdentityMaxAge }),
	number(Option{
		Name: "IdentityMaxStreams", Default: "0", Own: true, Class: Hot, Effect: nextIdentityStream, RemoteDenied: deniedIsolation,
		Doc: "Renew an identity after this many streams since it was last renewed. 0 is no limit. CircuitRate bounds what that costs the network.",
	}, "streams", 0, 1_000_000, func(c *Config) *int { return &c.IdentityMaxStreams }),
	flag(Option{
		Name: "IdentityDistinctExits", Default: "0", Own: true, Class: Hot, Effect: nextIdentityStream, RemoteDenied: deniedIsolation,
		Doc: "No two identities use one exit at a time: an exit is an identity's as long as there is a circuit to it that carried one of its streams. When none is left for the guard that a circuit would go through, the request is refused, so there can be no more identities at once than exits. " +
			"Streams without a user name use any. It makes exits less likely as by their bandwidth: use it where a service must not see two identities come from one address.",
	}, func(c *Config) *bool { return &c.IdentityDistinctExits }),
}

func (b *builder) checkIdentities() {
	if age := b.cfg.IdentityMaxAge; age > 0 && age < 10*time.Second {
		b.fail(b.set["IdentityMaxAge"], ErrValue, "%s is less than 10 seconds, and not 0", Interval(age))
	}
	if b.cfg.CircuitRate > 0 {
		return
	}
	for _, name := range []string{"IdentityMaxAge", "IdentityMaxStreams"} {
		if l, ok := b.set[name]; ok && (b.cfg.IdentityMaxAge > 0 || b.cfg.IdentityMaxStreams > 0) {
			b.warn(l, "without CircuitRate nothing bounds how many circuits identities cost the network")
			return
		}
	}
}
