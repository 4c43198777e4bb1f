package node

import (
	"context"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"chive/actors/circuits"
	"chive/actors/connections"
	"chive/actors/directory"
	"chive/config"
	"chive/config/logging"
	"chive/messages"
	"chive/messages/chivev1"
)

// proxyWarnAt is after how many refusals in a row the operator is warned: one may be a
// relay's. That the proxy itself is away is told at once.
const proxyWarnAt = 3

// proxyOption names the option that sets the proxy.
func proxyOption(c *config.Config) string {
	switch {
	case c.Socks4Proxy.IsValid():
		return "Socks4Proxy"
	case c.Socks5Proxy.IsValid():
		return "Socks5Proxy"
	}
	return "HTTPSProxy"
}

// proxyChanged tells the operator, and what waits, how the proxy on the way to all relays
// fares.
func (r *rootActor) proxyChanged(ctx actor.Context, p *connections.ProxyChanged) {
	log, option := r.n.o.Log, proxyOption(r.n.Config())
	told := r.proxyTold
	switch {
	case p.Works:
		r.proxyTold = false
		if told && p.Failures > 0 {
			log.Log(context.Background(), logging.LevelNotice, "the proxy works again", "option", option, "failures", p.Failures)
		}
	case !told && (p.Outcome == chivev1.Outcome_OUTCOME_PROXY_FAILED || p.Failures >= proxyWarnAt):
		r.proxyTold = true
		log.Warn("the proxy does not work; nothing is tried without it, and no relay is blamed",
			"option", option, "reason", messages.OutcomeName(p.Outcome), "again", p.Again.Round(100*time.Millisecond))
	}
	r.n.proxy.Store(p)
	if p.Works {
		r.n.proxy.Store(nil)
		r.pass(ctx, "directory", &directory.Retry{})
	}
	r.pass(ctx, "circuits", &circuits.Proxy{Works: p.Works})
}
