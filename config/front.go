package config

// frontOptions are ways in for programs that do not speak SOCKS.
var frontOptions = []Option{
	custom(Option{
		Name: "HTTPTunnelPort", Default: "0", List: true, Class: Hot, RemoteDenied: deniedListener,
		Effect: "At once, as SocksPort.",
		Range:  "[address:]port, auto, unix:/path or 0, then flags",
		Doc: "Where HTTP clients connect that ask for a tunnel with CONNECT, as browsers and curl --proxytunnel do; nothing else is spoken there. The flags are those of SocksPort but ExtendedErrors and PreferSOCKSNoAuth. " +
			"Proxy-Authorization, Tor-Stream-Isolation and X-Tor-Stream-Isolation keep streams apart as SOCKS user names do (IsolateSOCKSAuth). Whom Proxy-Authorization names (curl --proxy-user) is an identity, the same as who gives that user name and password by SOCKS, though they share no circuit: chive renew, chive identities and IdentityMaxAge are for both. Of another scheme than Basic the whole header is the user name. Tor-Family-Preference is ipv4-preferred, ipv6-preferred, ipv4-only or ipv6-only. A failed request is answered with Tor-Request-Failed.",
		Differs: "An address beyond loopback needs AllowNonLocalSocks 1.",
	}, "listener", listener(HTTP), showListeners(HTTP)),
	custom(Option{
		Name: "DNSPort", Default: "0", List: true, Class: Hot, RemoteDenied: deniedListener,
		Effect:  "At once, as SocksPort. Questions that wait at a closed listener get no answer.",
		Range:   "[address:]port, auto or 0, then flags",
		Doc:     "Where DNS clients ask, over UDP and TCP: A, AAAA and PTR, which an exit resolves. Other types are answered with NOTIMP. The flags are those of SocksPort that isolate, and SessionGroup. There is no cache.",
		Differs: "An address beyond loopback needs AllowNonLocalSocks 1. TCP is answered, too. A message with more than one question is refused.",
	}, "listener", listener(DNS), showListeners(DNS)),
}
