package relaydouble

import (
	"maps"
	"net"
	"net/netip"
	"slices"

	"chive/tor/cell"
	"chive/tor/cert"
	"chive/tor/link/linktest"
)

// greet is the responder's side of the link handshake (tor-spec section 4): the
// client's VERSIONS, then ours with CERTS, AUTH_CHALLENGE and NETINFO, then the
// client's NETINFO.
func (c *Conn) greet(in *cellReader) error {
	offered, err := in.versions()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(offered, func(v uint16) bool { return slices.Contains(c.relay.opts.Versions, v) }) {
		return violationf("no common link version: offered %v", offered)
	}
	c.relay.pass(AtVersions, Moment{Conn: c}, func(*Moment) { err = c.reply() })
	if err != nil {
		return err
	}
	for {
		circ, cmd, body, err := in.next()
		switch {
		case err != nil:
			return err
		case cmd == cell.Vpadding || cmd == cell.Padding:
			continue
		case cmd != cell.Netinfo || circ != 0:
			return violationf("%v cell in place of NETINFO", cmd)
		}
		if _, err := cell.ParseNetinfo(body); err != nil {
			return &protocolError{err}
		}
		c.relay.pass(AtLinked, Moment{Conn: c}, func(*Moment) {
			c.relay.seen.update(func(s *Seen) { s.Links++ })
		})
		return nil
	}
}

// reply sends the relay's four cells.
func (c *Conn) reply() error {
	o := &c.relay.opts
	now, mutations := o.Clock(), o.Certs
	if c.hop.signing != nil {
		mutations.Replace = maps.Clone(mutations.Replace)
		if mutations.Replace == nil {
			mutations.Replace = map[cert.Type][]byte{}
		}
		mutations.Replace[cert.TypeIdentitySigning] = c.hop.signing
	}
	responder := linktest.Responder{
		Identity:   c.hop.identity,
		TLSCertDER: c.hop.tlsConfig.Certificates[0].Certificate[0],
		Versions:   o.Versions,
		Mutations:  mutations,
		ClientAddr: tcpAddr(c.raw.RemoteAddr()),
		Addrs:      []netip.Addr{c.hop.Addr().Addr()},
		Random:     o.Rand,
	}
	challenge, err := responder.AuthChallengeCell()
	if err != nil {
		return err
	}
	cells := [][]byte{responder.VersionsCell(), responder.CertsCell(now), challenge, responder.NetinfoCell(now)}
	if o.Greeting != nil {
		cells = o.Greeting(cells)
	}
	c.Send(slices.Concat(cells...))
	return nil
}

func tcpAddr(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
