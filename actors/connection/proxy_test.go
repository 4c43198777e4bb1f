package connection

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"

	"chive/tor/upstream"
)

// Rule 0: only a failed connection to the relay may blame a guard. A proxy that is
// not there, or is none, says nothing of the relay; one that could not connect does.
func TestAFailingProxyIsNotTheRelays(t *testing.T) {
	for name, c := range map[string]struct {
		says  string
		proxy bool
	}{
		"refuses":  {"\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00", false},
		"no proxy": {"SSH-2.0\r\n", true},
		"hangs up": {"", true},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 3))
			_, _ = io.WriteString(conn, c.says)
			_ = conn.Close()
		}()
		d := Dialer{Proxy: upstream.Proxy{Kind: upstream.SOCKS5, Addr: netip.MustParseAddrPort(l.Addr().String())}}
		target := Target{IPv4: netip.MustParseAddrPort("192.0.2.1:443")}
		_, err = d.dial(t.Context(), target)
		if err == nil || errors.Is(err, ErrProxy) != c.proxy {
			t.Errorf("%s: %v", name, err)
		}
		<-served
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := d.dial(t.Context(), target); !errors.Is(err, ErrProxy) {
			t.Errorf("%s, then gone: %v", name, err)
		}
	}
}
