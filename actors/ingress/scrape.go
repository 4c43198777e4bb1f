package ingress

import "chive/actors/stream"

// scrape has a client of a MetricsPort answered, if the policy accepts his address.
func (l *listener) scrape(rules *Rules, c stream.Conn) {
	l.o.Scrape(c, rules.Policy.Accepts(clientAddr(c).Addr()))
	l.untrack(c)
}
