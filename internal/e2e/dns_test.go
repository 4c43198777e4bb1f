package e2e

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"chive/messages/chivev1"
)

// documented is an address (RFC 5737) that has a name in the test network.
const documented = "198.51.100.7"

// askDNS is a resolver that asks one server only, and waits for it as long as the test does: of
// its own accord it waits 5 s, in which a circuit may not come to be.
func askDNS(addr, network string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(_ context.Context, _, _ string) (net.Conn, error) {
		conn, err := net.Dial(network, addr)
		if err != nil {
			return nil, err
		}
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return nil, err
		}
		if udp, ok := conn.(*net.UDPConn); ok { // the resolver asks which it is
			return patientUDP{udp}, nil
		}
		return patientTCP{conn}, nil
	}}
}

// Connections whose deadlines are set already.
type (
	patientUDP struct{ *net.UDPConn }
	patientTCP struct{ net.Conn }
)

func (patientUDP) SetDeadline(time.Time) error { return nil }
func (patientTCP) SetDeadline(time.Time) error { return nil }

// A DNS client that is none of ours, the standard library's, asks a DNSPort over
// UDP and TCP; relays of C tor resolve.
func TestDNSPort(t *testing.T) {
	n := network(t)
	addr := freePort(t)
	c := start(t, n, "DNSPort "+addr)
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			r := askDNS(addr, network)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			addrs, err := r.LookupHost(ctx, "some.name.test.")
			if err != nil || len(addrs) != 1 || addrs[0] != n.Target().IP.String() {
				t.Errorf("%v, %v", addrs, err)
			}
			var dnsErr *net.DNSError
			if _, err := r.LookupHost(ctx, "nx.test."); !errors.As(err, &dnsErr) || !dnsErr.IsNotFound {
				t.Errorf("nx.test: %v", err)
			}
			if addrs, err := r.LookupNetIP(ctx, "ip6", "some.name.test."); err == nil {
				t.Errorf("AAAA: %v", addrs)
			}
			names, err := r.LookupAddr(ctx, documented)
			if err != nil || len(names) != 1 || names[0] != "target.test." {
				t.Errorf("PTR: %v, %v", names, err)
			}
			// C tor's exits do not look up what only exists on their own network.
			if names, err := r.LookupAddr(ctx, n.Target().IP.String()); !errors.As(err, &dnsErr) || !dnsErr.IsNotFound {
				t.Errorf("PTR of an internal address: %v, %v", names, err)
			}
			for _, name := range []string{"duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion.", "a.exit."} {
				if addrs, err := r.LookupHost(ctx, name); len(addrs) != 0 {
					t.Errorf("%s: %v, %v", name, addrs, err)
				}
			}
			if _, err := r.LookupMX(ctx, "some.name.test."); err == nil {
				t.Error("MX: answered")
			}
		})
	}
	if got := c.count(func(e *chivev1.Envelope) bool {
		return e.GetStreamEnded().GetOutcome() == chivev1.Outcome_OUTCOME_REFUSED
	}); got == 0 {
		t.Error("no event tells of a.exit")
	}
	if got := c.count(func(e *chivev1.Envelope) bool { return e.GetListenerOpened().GetProtocol() == "dns" }); got != 1 {
		t.Errorf("%d listeners of DNS", got)
	}
}
