package config

import "time"

// leastVerify is the shortest period: a visit is three or four circuits, and what it finds
// takes seconds.
const leastVerify = 10 * time.Second

// verifyOptions are how onion services of this node are kept up.
var verifyOptions = []Option{
	interval(Option{
		Name: "OnionVerifyPeriod", Default: "40 seconds", Own: true, Class: Hot, RemoteDenied: deniedService,
		Effect: "At once: the next visits follow it. 0 ends them, and what was found is forgotten.",
		Doc: "Visit each hosted onion service this often, a quarter more or less, as a client of it does: its descriptor is fetched from a directory, an introduction point is asked, and the service is met at a rendezvous point. No stream is opened. A service that fails twice is not up; then new circuits, new descriptors, other introduction points and a new beginning are tried, in this order and within budgets. " +
			"A visit is four circuits, of which one is the service's. Between two visits one directory is asked for the descriptor, by one circuit; when a client was met within the period there is no other visit, and six directories are asked in a period. All services together are visited once in two seconds at most, so that with more than sixteen the period is longer than asked for. " +
			"0 visits only when chive onion verify asks, and heals nothing; else it is 10 seconds or more.",
	}, time.Second, 0, time.Hour, func(c *Config) *time.Duration { return &c.OnionVerifyPeriod }),
}

func (b *builder) checkVerify() {
	if p := b.cfg.OnionVerifyPeriod; p > 0 && p < leastVerify {
		b.fail(b.set["OnionVerifyPeriod"], ErrValue, "%s is less than %s, and not 0", Interval(p), Interval(leastVerify))
	}
}
