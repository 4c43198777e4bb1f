package ingress

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"chive/actors/outcome"
	"chive/actors/stream"
	"chive/config"
	"chive/messages"
	"chive/messages/chivev1"
	"chive/tor/cell"
	"chive/tor/httpconnect"
	"chive/tor/onion"
	"chive/tor/socks"
)

// asked is a request in any of the protocols that a listener speaks.
type asked struct {
	id       string   // of the stream; "": any
	protocol string   // for IsolateClientProtocol
	auth     []string // for IsolateSOCKSAuth: what isolates, by protocol
	// authenticated: auth holds a text that is not empty.
	authenticated bool

	named          bool // a user name was given, by SOCKS or Proxy-Authorization
	user, password string

	host     string     // canonical, as in socks.Request
	addr     netip.Addr // valid if host is an IP literal
	port     uint16
	resolve  bool   // for the addresses of host
	reverse  bool   // for the name of addr
	family   family // that may be used
	front    stream.Front
	filter   *answers       // of front; nil: it has none
	original string         // host before Names
	onion    *onion.Address // nil: host is in the open network
}

// family says what IP versions a request may use and which it prefers.
type family struct{ v4, v6, prefer6 bool }

func familyOf(p config.SocksPort) family {
	return family{v4: p.IPv4Traffic, v6: p.IPv6Traffic, prefer6: p.PreferIPv6}
}

// want narrows what the listener permits to what a client asks for.
func (f family) want(w httpconnect.Family) family {
	switch w {
	case httpconnect.IPv4Only:
		f.v6 = false
	case httpconnect.IPv6Only:
		f.v4 = false
	case httpconnect.IPv4Preferred, httpconnect.IPv6Preferred:
		f.prefer6 = w == httpconnect.IPv6Preferred
	}
	return f
}

func (f family) permits(a netip.Addr) bool {
	if a.Is4() {
		return f.v4
	}
	return f.v6
}

func askedSOCKS(rules *Rules, req *socks.Request) *asked {
	a := &asked{
		protocol: "socks5 connect", auth: []string{"none", req.Username, req.Password},
		host: req.Host, port: req.Port, resolve: req.Resolve, reverse: req.Reverse, family: familyOf(rules.Port),
	}
	a.named, a.user, a.password = req.HasAuth, req.Username, req.Password
	a.authenticated = req.Username != "" || req.Password != ""
	if req.HasAuth {
		a.auth[0] = "password"
	}
	if req.Resolve || req.Reverse {
		a.protocol = "socks5 resolve"
	}
	if req.IsIP {
		a.addr, _ = netip.ParseAddr(req.Host) // it is canonical
	}
	f := &answers{family: a.family, rejectInternal: rules.RejectAnswers}
	a.filter = f
	if req.SOCKS4 {
		a.protocol = strings.Replace(a.protocol, "5", "4", 1)
		f.family.v6 = f.family.v6 && !req.Resolve // a reply holds an IPv4 address
		a.front = &front4{f}
		return a
	}
	a.front = &front5{answers: f, extended: rules.Port.ExtendedErrors}
	return a
}

func askedHTTP(rules *Rules, req *httpconnect.Request) *asked {
	a := &asked{protocol: "http connect", host: req.Host, port: req.Port, family: familyOf(rules.Port).want(req.Family), front: &frontHTTP{}}
	for _, v := range []*string{req.Authorization, req.Isolation, req.XIsolation} {
		if v == nil {
			a.auth = append(a.auth, "none", "")
		} else {
			a.auth = append(a.auth, "given", *v)
			a.authenticated = a.authenticated || *v != ""
		}
	}
	a.user, a.password, a.named = req.Credentials()
	if req.IsIP {
		a.addr, _ = netip.ParseAddr(req.Host)
	}
	return a
}

// target is what BEGIN or RESOLVE says.
func (a *asked) target() string {
	switch {
	case a.reverse:
		return cell.ReverseName(a.addr)
	case a.resolve:
		return a.host
	}
	return net.JoinHostPort(a.host, strconv.Itoa(int(a.port)))
}

// reach finds out whether the host is an onion service; a name in .onion that is no
// service's address is not asked of anybody (RFC 7686).
func (a *asked) reach() chivev1.Outcome {
	if a.addr.IsValid() || !socks.IsOnion(a.host) {
		return chivev1.Outcome_OUTCOME_OK
	}
	address, err := onion.ParseHost(a.host)
	if err != nil {
		return chivev1.Outcome_OUTCOME_ONION_ADDRESS
	}
	a.onion = &address
	return chivev1.Outcome_OUTCOME_OK
}

func (a *asked) purpose() chivev1.Purpose {
	if a.onion != nil {
		return chivev1.Purpose_PURPOSE_RENDEZVOUS
	}
	return chivev1.Purpose_PURPOSE_GENERAL
}

// exitPort: names are asked of exits that carry the web's port, which most do.
func (a *asked) exitPort() uint16 {
	if a.resolve || a.reverse {
		return 443
	}
	return a.port
}

// exitIPv6 says by which of an exit's policies it is chosen: for a name that may be reached
// over IPv6 alone it is that for IPv6, as for an address (C tor likewise). The exit would
// refuse it else, and the next as well.
func (a *asked) exitIPv6() bool {
	if a.addr.IsValid() {
		return a.addr.Is6() && !a.reverse
	}
	return a.family.v6 && !a.family.v4 && !a.resolve && a.onion == nil
}

// beginFlags are the flags of BEGIN for a host name (tor-spec §6.2).
func (a *asked) beginFlags() (flags uint32) {
	if a.addr.IsValid() || a.resolve || a.onion != nil {
		return 0
	}
	if a.family.v6 {
		flags |= cell.BeginIPv6OK
	}
	if !a.family.v4 {
		flags |= cell.BeginIPv4NotOK
	}
	if a.family.prefer6 && a.family.v6 {
		flags |= cell.BeginIPv6Preferred
	}
	return flags
}

// refuses decides what never reaches a circuit.
func (a *asked) refuses(rules *Rules) bool {
	switch {
	case a.onion != nil:
		return a.resolve || a.port == 0 || !rules.Port.OnionTraffic // a service has no address
	case a.addr.IsValid():
		return !a.reverse && !a.resolve && !a.family.permits(a.addr) || rules.RejectInternal && internal(a.addr) || a.reverse && !rules.Port.DNSRequest
	case !rules.Port.DNSRequest, !a.family.v4 && !a.family.v6:
		return true
	default:
		return rules.RejectInternal && localName(a.host)
	}
}

// unwanted says where no exit may have connected to for a name; nil: anywhere. Exits of C
// tor connect over a version of IP that BEGIN forbade where a name has no other address.
func (a *asked) unwanted(rules *Rules) func(netip.Addr) bool {
	both := a.family.v4 && a.family.v6
	if a.addr.IsValid() || both && !rules.RejectAnswers {
		return nil
	}
	f, reject := a.family, rules.RejectAnswers
	return func(addr netip.Addr) bool { return addr.IsValid() && (reject && internal(addr) || !f.permits(addr)) }
}

// known is the answer to a question that nobody need be asked: for the address
// of an address.
func (a *asked) known() bool { return a.resolve && a.addr.IsValid() }

// localName: a name that means something only on the machine or network that
// resolves it.
func localName(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".local")
}

// inside are networks besides those that have a name in the standard library: this network,
// that between a provider and its customers, which VPNs use, too, and the old site-local one
// (tor_addr_is_internal of C tor).
var inside = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fec0::/10"),
}

// internal: an address that means something only where the exit is.
func internal(a netip.Addr) bool {
	a = a.Unmap()
	if slices.ContainsFunc(inside, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return true
	}
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalMulticast()
}

// trust lets the node's own answers pass: a virtual address means something here.
func (a *asked) trust() {
	if a.filter != nil {
		a.filter.family, a.filter.rejectInternal = family{v4: true, v6: true, prefer6: a.family.prefer6}, false
	}
}

// answers chooses among what an exit said.
type answers struct {
	family         family
	rejectInternal bool
}

// address is the first address of the preferred family, or of another that is
// permitted. One that means something only where the exit is, is not passed on.
func (f answers) address(all []cell.Answer) (netip.Addr, bool) {
	var second netip.Addr
	for _, a := range all {
		switch {
		case !a.Addr.IsValid() || !f.family.permits(a.Addr) || f.rejectInternal && internal(a.Addr):
		case a.Addr.Is6() == f.family.prefer6:
			return a.Addr, true
		case !second.IsValid():
			second = a.Addr
		}
	}
	return second, second.IsValid()
}

// name is the first host name that is one: the owner of an address may have made
// it anything.
func (f answers) name(all []cell.Answer) (string, bool) {
	for _, a := range all {
		if name, isIP, err := socks.ParseHost(a.Name); err == nil && !isIP && !(f.rejectInternal && localName(name)) {
			return name, true
		}
	}
	return "", false
}

// front5 answers in SOCKS5.
type front5 struct {
	*answers
	extended bool
}

// Connected makes the reply that the stream is there. The exit's address is
// not passed on: applications that ask by name do not expect one.
func (f *front5) Connected(netip.Addr) []byte {
	return socks.AppendReply(nil, socks.ReplySucceeded, netip.AddrPort{})
}

// Resolved makes the reply with an address or a name.
func (f *front5) Resolved(all []cell.Answer) ([]byte, chivev1.Outcome) {
	if addr, ok := f.address(all); ok {
		return socks.AppendReply(nil, socks.ReplySucceeded, netip.AddrPortFrom(addr, 0)), chivev1.Outcome_OUTCOME_OK
	}
	if name, ok := f.name(all); ok {
		return socks.AppendNameReply(nil, name), chivev1.Outcome_OUTCOME_OK
	}
	return f.Refused(chivev1.Outcome_OUTCOME_RESOLVE_FAILED), chivev1.Outcome_OUTCOME_RESOLVE_FAILED
}

// Refused makes the reply that it is not, and why.
func (f *front5) Refused(o chivev1.Outcome) []byte {
	code := outcome.Reply(o)
	if !f.extended {
		code = code.Basic()
	}
	return socks.AppendReply(nil, code, netip.AddrPort{})
}

// front4 answers in SOCKS4.
type front4 struct{ *answers }

func (f *front4) Connected(netip.Addr) []byte { return socks.AppendReply4(nil, true, netip.Addr{}) }

func (f *front4) Resolved(all []cell.Answer) ([]byte, chivev1.Outcome) {
	addr, ok := f.address(all)
	if !ok {
		return f.Refused(chivev1.Outcome_OUTCOME_RESOLVE_FAILED), chivev1.Outcome_OUTCOME_RESOLVE_FAILED
	}
	return socks.AppendReply4(nil, true, addr), chivev1.Outcome_OUTCOME_OK
}

func (f *front4) Refused(chivev1.Outcome) []byte { return socks.AppendReply4(nil, false, netip.Addr{}) }

// frontHTTP answers a CONNECT.
type frontHTTP struct{}

func (*frontHTTP) Connected(netip.Addr) []byte { return httpconnect.AppendConnected(nil) }

// Resolved is not called: HTTP does not ask for addresses.
func (f *frontHTTP) Resolved([]cell.Answer) ([]byte, chivev1.Outcome) {
	return f.Refused(chivev1.Outcome_OUTCOME_INTERNAL), chivev1.Outcome_OUTCOME_INTERNAL
}

func (*frontHTTP) Refused(o chivev1.Outcome) []byte {
	return httpconnect.AppendFailed(nil, outcome.HTTPStatus(o), messages.OutcomeName(o))
}
