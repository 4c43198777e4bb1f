package netdoc

import (
	"bytes"
	"net/netip"
)

// relayParser reads the relays' entries. Equal texts become one string or set.
type relayParser struct {
	versions  internTable[string]
	protocols internTable[Protocols]
	nicknames []byte // all nicknames, one after another: they become one string
	spans     []uint32
}

// Items of a relay's entry that may occur once, by bit.
const (
	rsMD = 1 << iota
	rsFlags
	rsVersion
	rsProtocols
	rsWeight
)

// relays reads every relay's entry, up to the footer.
func (p *consensusParser) relays() error {
	count := bytes.Count(p.s.text, []byte("\nr "))
	if count > maxRelays {
		return p.fail(ErrTooLarge)
	}
	rp := relayParser{
		nicknames: make([]byte, 0, 10*count),
		spans:     make([]uint32, 0, count),
	}
	p.c.Relays = make([]RouterStatus, 0, count)
	for !p.atEnd && !p.inFooter() {
		if err := rp.relay(p); err != nil {
			return err
		}
	}
	rp.setNicknames(p.c.Relays)
	return nil
}

// setNicknames gives each relay its part of one common string.
func (rp *relayParser) setNicknames(relays []RouterStatus) {
	all := string(rp.nicknames)
	start := uint32(0)
	for i := range relays {
		relays[i].Nickname = all[start:rp.spans[i]]
		start = rp.spans[i]
	}
}

// relay reads one entry: its "r" line and all items up to the next one.
func (rp *relayParser) relay(p *consensusParser) error {
	p.c.Relays = append(p.c.Relays, RouterStatus{})
	rs := &p.c.Relays[len(p.c.Relays)-1]
	rLine := p.it.start
	if err := rp.rLine(rs, p.it.args); err != nil {
		return p.fail(err)
	}
	if n := len(p.c.Relays); n > 1 {
		previous := &p.c.Relays[n-2].Identity
		if bytes.Compare(previous[:], rs.Identity[:]) >= 0 {
			return p.failf("relay %v is out of order or listed twice", rs.Identity)
		}
	}
	seen := 0
	for {
		if err := p.advance(); err != nil {
			return err
		}
		if p.atEnd || string(p.it.keyword) == "r" || p.inFooter() {
			break
		}
		bit, err := rp.item(rs, &p.it)
		if err == nil && seen&bit != 0 {
			err = malformed("%s given twice for one relay", p.it.keyword)
		}
		if err != nil {
			return p.fail(err)
		}
		seen |= bit
	}
	if seen&rsFlags == 0 {
		return p.s.fail(rLine, malformed("relay %v without flags", rs.Identity))
	}
	return nil
}

// rLine reads "r" nickname identity date time IP ORPort DirPort. The publication time means nothing in a
// consensus (dir-spec 3.4.1) and is not kept.
func (rp *relayParser) rLine(rs *RouterStatus, args fields) error {
	nickname := args.next()
	if !isNickname(nickname) {
		return malformed("bad nickname %q", clip(nickname))
	}
	rp.nicknames = append(rp.nicknames, nickname...)
	rp.spans = append(rp.spans, uint32(len(rp.nicknames)))
	if !decodeBase64(rs.Identity[:], args.next()) {
		return malformed("bad relay identity")
	}
	date, clock := args.next(), args.next()
	if len(date) != len("2038-01-01") || len(clock) != len("00:00:00") {
		return malformed("bad publication time of relay %v", rs.Identity)
	}
	addr, ok := parseIPv4(args.next())
	if !ok {
		return malformed("bad address of relay %v", rs.Identity)
	}
	orPort, okOR := parseUint(args.next(), 65535)
	dirPort, okDir := parseUint(args.next(), 65535)
	if !okOR || !okDir {
		return malformed("bad port of relay %v", rs.Identity)
	}
	rs.IPv4 = netip.AddrPortFrom(addr, uint16(orPort))
	rs.DirPort = uint16(dirPort)
	return nil
}

// item takes one line of an entry and says which it was, 0 for one that may repeat or is unknown.
func (rp *relayParser) item(rs *RouterStatus, it *item) (bit int, err error) {
	switch string(it.keyword) {
	case "m":
		if !decodeBase64(rs.MD[:], it.args.next()) {
			return 0, malformed("bad microdescriptor digest of relay %v", rs.Identity)
		}
		return rsMD, nil
	case "s":
		rs.Flags = parseFlags(it.args)
		return rsFlags, nil
	case "v":
		rs.Version, err = rp.versions.intern(it.args.rest(), func(t []byte) (string, error) { return string(t), nil })
		return rsVersion, err
	case "pr":
		rs.Protocols, err = rp.protocols.intern(it.args.rest(), parseProtocols)
		return rsProtocols, err
	case "w":
		return rsWeight, parseWeight(rs, it.args)
	case "a":
		if !rs.IPv6.IsValid() {
			rs.IPv6 = parseIPv6Port(it.args.next())
		}
	}
	return 0, nil
}

// parseFlags also sets what being listed implies.
func parseFlags(args fields) Flags {
	flags := FlagRunning | FlagValid
	for name := args.next(); name != nil; name = args.next() {
		flags |= flagOf(name)
	}
	return flags
}

// parseWeight reads "Bandwidth=n" and "Unmeasured=1"; other words are room for later ones.
func parseWeight(rs *RouterStatus, args fields) error {
	for word := args.next(); word != nil; word = args.next() {
		key, value, _ := cutByte(word, '=')
		switch string(key) {
		case "Bandwidth":
			n, ok := parseUint(value, 1<<32-1)
			if !ok {
				return malformed("bad bandwidth of relay %v", rs.Identity)
			}
			rs.Bandwidth = uint32(n)
		case "Unmeasured":
			rs.Unmeasured = string(value) == "1"
		}
	}
	return nil
}

// parseIPv4 reads a dotted quad without allocating.
func parseIPv4(b []byte) (netip.Addr, bool) {
	var quad [4]byte
	for i := range quad {
		part, rest, dot := cutByte(b, '.')
		if dot != (i < 3) || len(part) > 3 {
			return netip.Addr{}, false
		}
		n, ok := parseUint(part, 255)
		if !ok {
			return netip.Addr{}, false
		}
		quad[i], b = byte(n), rest
	}
	return netip.AddrFrom4(quad), true
}

// parseIPv6Port reads "[v6]:port"; anything else, and port 0, is the invalid AddrPort: "any other IPv4 or IPv6
// addresses should be ignored" (dir-spec 3.4.1 "a").
func parseIPv6Port(b []byte) netip.AddrPort {
	if len(b) == 0 || b[0] != '[' {
		return netip.AddrPort{}
	}
	ap, err := netip.ParseAddrPort(string(b))
	if err != nil || !ap.Addr().Is6() || ap.Addr().Zone() != "" || ap.Port() == 0 {
		return netip.AddrPort{}
	}
	return ap
}
