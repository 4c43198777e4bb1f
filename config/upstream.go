package config

import (
	"net/netip"
	"strconv"
	"strings"
)

const newProxy = "New connections go the new way; the old ones take no new circuits and end with their last."

var upstreamOptions = []Option{
	upstreamProxy("Socks4Proxy", "SOCKS4", 1080, func(c *Config) *netip.AddrPort { return &c.Socks4Proxy }),
	upstreamProxy("Socks5Proxy", "SOCKS5", 1080, func(c *Config) *netip.AddrPort { return &c.Socks5Proxy }),
	credential("Socks5ProxyUsername", "The user name for the Socks5Proxy.", func(c *Config) *Secret { return &c.Socks5ProxyUsername }),
	credential("Socks5ProxyPassword", "The password for the Socks5Proxy.", func(c *Config) *Secret { return &c.Socks5ProxyPassword }),
	upstreamProxy("HTTPSProxy", "HTTP CONNECT", 443, func(c *Config) *netip.AddrPort { return &c.HTTPSProxy }),
	credential("HTTPSProxyAuthenticator", "username:password for the HTTPSProxy, sent with Basic authentication.", func(c *Config) *Secret { return &c.HTTPSProxyAuthenticator }),
}

// upstreamProxy is an address of a proxy, with a port if it is not the usual one.
func upstreamProxy(name, protocol string, port uint16, field func(*Config) *netip.AddrPort) Option {
	return custom(Option{
		Name: name, Default: "", Class: Rebuild, Effect: newProxy, RemoteDenied: deniedPrivacy,
		Range:   "an IP address, and after a colon a port",
		Doc:     "Make every connection to a relay through this " + protocol + " proxy; without a port it is " + strconv.Itoa(int(port)) + ". Only one proxy can be set. While the proxy cannot be reached nothing is tried without it, and no guard is blamed.",
		Differs: "A host name is refused: finding its address would need a resolver outside of Tor.",
	}, "proxy", func(b *builder, l Line) {
		at, err := netip.ParseAddrPort(l.Value)
		if err != nil {
			var addr netip.Addr
			addr, err = netip.ParseAddr(strings.Trim(l.Value, "[]"))
			at = netip.AddrPortFrom(addr, port)
		}
		if err != nil || at.Port() == 0 || at.Addr().Zone() != "" {
			b.fail(l, ErrValue, "%q is not an IP address and a port, as in 127.0.0.1:1080", clip(located(l.Value)))
			return
		}
		*field(&b.cfg) = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	}, func(c *Config) []string {
		if at := *field(c); at.IsValid() {
			return []string{at.String()}
		}
		return nil
	})
}

// checkUpstream finds contradictions among the options of proxies.
func (b *builder) checkUpstream() {
	c := &b.cfg
	first := ""
	for _, p := range []struct {
		name string
		at   netip.AddrPort
	}{{"Socks4Proxy", c.Socks4Proxy}, {"Socks5Proxy", c.Socks5Proxy}, {"HTTPSProxy", c.HTTPSProxy}} {
		switch {
		case !p.at.IsValid():
		case first != "":
			b.fail(b.set[p.name], ErrConflict, "only one proxy can be used, and %s is set, too", first)
		default:
			first = p.name
		}
	}
	if (c.Socks5ProxyUsername == "") != (c.Socks5ProxyPassword == "") {
		name := "Socks5ProxyUsername"
		if c.Socks5ProxyUsername == "" {
			name = "Socks5ProxyPassword"
		}
		b.fail(b.set[name], ErrConflict, "Socks5ProxyUsername and Socks5ProxyPassword go together")
	}
	if c.Socks5ProxyUsername != "" && !c.Socks5Proxy.IsValid() {
		b.fail(b.set["Socks5ProxyUsername"], ErrConflict, "needs Socks5Proxy")
	}
	if c.HTTPSProxyAuthenticator != "" && !c.HTTPSProxy.IsValid() {
		b.fail(b.set["HTTPSProxyAuthenticator"], ErrConflict, "needs HTTPSProxy")
	}
}
