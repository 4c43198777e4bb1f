package connection

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"chive/actors/outcome"
	"chive/messages/chivev1"
	"chive/tor/upstream"
)

// Rule 0: only a failed connection to the relay may blame a guard. A proxy that is
// not there, or is none, says nothing of the relay; one that did not connect may.
func TestAFailingProxyIsNotTheRelays(t *testing.T) {
	const failed, refused = chivev1.Outcome_OUTCOME_PROXY_FAILED, chivev1.Outcome_OUTCOME_PROXY_REFUSED
	for name, c := range map[string]struct {
		says  []string // an answer each
		stays bool     // it says no more, and does not hang up
		cause error
		want  chivev1.Outcome
	}{
		"refuses":             {[]string{"\x05\x00", "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"}, false, upstream.ErrRefused, refused},
		"wants a password":    {[]string{"\x05\xff"}, false, upstream.ErrAuth, failed},
		"no proxy":            {[]string{"SSH-2.0\r\n"}, false, upstream.ErrProtocol, failed},
		"hangs up":            {nil, false, upstream.ErrProxy, failed},
		"hangs up when asked": {[]string{"\x05\x00"}, false, upstream.ErrProxy, failed},
		"silent":              {nil, true, upstream.ErrProxy, failed},
		"silent when asked":   {[]string{"\x05\x00"}, true, upstream.ErrSilent, refused},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served, late := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(served)
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			buf := make([]byte, 64)
			for _, answer := range c.says {
				if _, err := conn.Read(buf); err != nil {
					return
				}
				_, _ = io.WriteString(conn, answer)
			}
			if c.stays {
				_, _ = conn.Read(buf) // what it says no more to
				close(late)
				_, _ = io.Copy(io.Discard, conn) // until the other side gives up
				return
			}
			_, _ = conn.Read(buf)
		}()
		d := Dialer{Proxy: upstream.Proxy{Kind: upstream.SOCKS5, Addr: netip.MustParseAddrPort(l.Addr().String())}}
		target := Target{IPv4: netip.MustParseAddrPort("192.0.2.1:443")}
		_, err = d.dial(&timed{t.Context(), late}, target, time.Now)
		if got := outcome.FromDial(err); !errors.Is(err, c.cause) || got != c.want || errors.Is(err, upstream.ErrProxy) != (c.want == failed) {
			t.Errorf("%s: %v (%v)", name, err, got)
		}
		<-served
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := d.dial(t.Context(), target, time.Now); outcome.FromDial(err) != failed {
			t.Errorf("%s, then gone: %v", name, err)
		}
	}
}

// timed is a context whose time is up when a channel is closed.
type timed struct {
	context.Context
	up <-chan struct{}
}

func (c *timed) Done() <-chan struct{} { return c.up }

func (c *timed) Err() error {
	select {
	case <-c.up:
		return context.DeadlineExceeded
	default:
		return nil
	}
}
