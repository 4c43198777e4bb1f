package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"chive/messages/chivev1"
)

// One address moves from SocksPort to HTTPTunnelPort and DNSPort and back, each in one
// change. A stream that is open goes on, and what is asked for in each protocol goes over
// relays of C tor.
func TestListenerMoves(t *testing.T) {
	n := network(t)
	at := freePort(t)
	l := newLab(t, n, "SocksPort "+at)
	stays, err := l.reloadable.echo("stays", l.echo)
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()
	still := func() {
		t.Helper()
		if err := stays.roundTrip(1); err != nil {
			t.Fatalf("the stream that was open: %v", err)
		}
	}
	l.must(t, "SocksPort 0", "HTTPTunnelPort "+at)
	still()
	tunnel, err := exchangeEcho(at, l.echo)
	if err != nil {
		t.Fatalf("through the HTTPTunnelPort: %v", err)
	}
	defer tunnel.Close()
	l.must(t, "SocksPort 0", "DNSPort "+at)
	still()
	for _, network := range []string{"udp", "tcp"} {
		addrs, err := askDNS(at, network).LookupHost(t.Context(), "some.name.test.")
		if err != nil || len(addrs) != 1 || addrs[0] != n.Target().IP.String() {
			t.Errorf("DNS over %s: %v, %v", network, addrs, err)
		}
	}
	l.must(t, "SocksPort "+at)
	still()
	if err := tunnel.roundTrip(2); err != nil {
		t.Errorf("the stream of the HTTPTunnelPort: %v", err)
	}
	if err := l.ping("back")(); err != nil {
		t.Error(err)
	}
	opened := map[string]int{}
	log, _ := l.events(0)
	for _, e := range log {
		if o := e.GetListenerOpened(); o != nil {
			opened[o.GetProtocol()]++
		}
		if c := e.GetListenerClosed(); c != nil && c.GetOutcome() != chivev1.Outcome_OUTCOME_REPLACED {
			t.Errorf("a listener closed: %v", c)
		}
	}
	if opened["socks"] != 2 || opened["http"] != 1 || opened["dns"] != 1 {
		t.Errorf("opened %v", opened)
	}
}

// exchangeEcho opens a stream to the echo port with CONNECT.
func exchangeEcho(at string, target netip.AddrPort) (*echoed, error) {
	conn, err := net.Dial("tcp", at)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\n\r\n", target)
	r := bufio.NewReaderSize(oneByOne{conn}, 16)
	for first := true; ; first = false {
		line, err := r.ReadString('\n')
		if err != nil || first && !strings.Contains(line, " 200 ") {
			return nil, errors.Join(fmt.Errorf("answered %q", line), err, conn.Close())
		}
		if line == "\r\n" {
			return &echoed{Conn: conn}, nil
		}
	}
}

// oneByOne leaves what is behind the head of an answer where it is.
type oneByOne struct{ io.Reader }

func (r oneByOne) Read(p []byte) (int, error) { return r.Reader.Read(p[:1]) }
