package upstream_test

import (
	"errors"
	"net/netip"
	"testing"

	"chive/tor/upstream"
)

func TestDialogues(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("192.0.2.1:443"), netip.MustParseAddrPort("[2001:db8::1]:443")
	const ip4, ip6 = "\xc0\x00\x02\x01\x01\xbb", "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\xbb"
	for name, c := range map[string]struct {
		proxy     upstream.Proxy
		target    netip.AddrPort
		says      string
		hears     string
		err       error
		undecided bool
	}{
		"SOCKS4":            {upstream.Proxy{Kind: upstream.SOCKS4}, v4, "\x00\x5a\x00\x00\x00\x00\x00\x00", "\x04\x01\x01\xbb\xc0\x00\x02\x01\x00", nil, false},
		"SOCKS4 refuses":    {upstream.Proxy{Kind: upstream.SOCKS4}, v4, "\x00\x5b\x00\x00\x00\x00\x00\x00", "", upstream.ErrRefused, false},
		"SOCKS4 identd":     {upstream.Proxy{Kind: upstream.SOCKS4}, v4, "\x00\x5d\x00\x00\x00\x00\x00\x00", "", upstream.ErrAuth, false},
		"SOCKS4 other":      {upstream.Proxy{Kind: upstream.SOCKS4}, v4, "HTTP", "", upstream.ErrProtocol, false},
		"SOCKS5":            {upstream.Proxy{Kind: upstream.SOCKS5}, v4, "\x05\x00\x05\x00\x00\x01abcdef", "\x05\x01\x00\x05\x01\x00\x01" + ip4, nil, false},
		"SOCKS5 IPv6":       {upstream.Proxy{Kind: upstream.SOCKS5}, v6, "\x05\x00\x05\x00\x00\x04abcdefghijklmnopqr", "\x05\x01\x00\x05\x01\x00\x04" + ip6, nil, false},
		"SOCKS5 name bound": {upstream.Proxy{Kind: upstream.SOCKS5}, v4, "\x05\x00\x05\x00\x00\x03\x03abcde", "\x05\x01\x00\x05\x01\x00\x01" + ip4, nil, false},
		"SOCKS5 password":   {upstream.Proxy{Kind: upstream.SOCKS5, Username: "u", Password: "pw"}, v4, "\x05\x02\x01\x00\x05\x00\x00\x01abcdef", "\x05\x02\x00\x02\x01\x01u\x02pw\x05\x01\x00\x01" + ip4, nil, false},
		"SOCKS5 wrong one":  {upstream.Proxy{Kind: upstream.SOCKS5, Username: "u", Password: "pw"}, v4, "\x05\x02\x01\x01", "", upstream.ErrAuth, false},
		"SOCKS5 wants one":  {upstream.Proxy{Kind: upstream.SOCKS5}, v4, "\x05\x02", "", upstream.ErrAuth, false},
		"SOCKS5 refuses":    {upstream.Proxy{Kind: upstream.SOCKS5}, v4, "\x05\x00\x05\x05", "", upstream.ErrRefused, false},
		"SOCKS5 command":    {upstream.Proxy{Kind: upstream.SOCKS5}, v4, "\x05\x00\x05\x07", "", upstream.ErrProtocol, false},
		"SOCKS5 type":       {upstream.Proxy{Kind: upstream.SOCKS5}, v4, "\x05\x00\x05\x00\x00\x09\x00", "", upstream.ErrProtocol, false},
		"more than asked":   {upstream.Proxy{Kind: upstream.SOCKS4}, v4, "\x00\x5a\x00\x00\x00\x00\x00\x00x", "", upstream.ErrProtocol, false},
		"HTTP":              {upstream.Proxy{Kind: upstream.HTTP}, v4, "HTTP/1.1 200 Connection established\r\nA: b\r\n\r\n", "CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: 192.0.2.1:443\r\n\r\n", nil, false},
		"HTTP password":     {upstream.Proxy{Kind: upstream.HTTP, Username: "u", Password: "p"}, v6, "HTTP/1.0 200\r\n\r\n", "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\nProxy-Authorization: Basic dTpw\r\n\r\n", nil, false},
		"HTTP refuses":      {upstream.Proxy{Kind: upstream.HTTP}, v4, "HTTP/1.1 403 No\r\n\r\n", "", upstream.ErrRefused, false},
		"HTTP wants one":    {upstream.Proxy{Kind: upstream.HTTP}, v4, "HTTP/1.1 407 Who\r\n\r\n", "", upstream.ErrAuth, false},
		"HTTP away":         {upstream.Proxy{Kind: upstream.HTTP}, v4, "HTTP/1.1 503 No\r\n\r\n", "", upstream.ErrRefused, false},
		"HTTP server":       {upstream.Proxy{Kind: upstream.HTTP}, v4, "HTTP/1.1 405 No\r\n\r\n", "", upstream.ErrProtocol, false},
		"HTTP other":        {upstream.Proxy{Kind: upstream.HTTP}, v4, "SSH-2.0", "", upstream.ErrProtocol, false},
		"HTTP waits":        {upstream.Proxy{Kind: upstream.HTTP}, v4, "HTTP/1.1 200 OK\r\n", "", nil, true},
	} {
		for _, size := range []int{1, 3, 1000} {
			m, first, err := upstream.New(c.proxy, c.target)
			if err != nil {
				t.Fatal(name, err)
			}
			heard, done := string(first), false
			for in := c.says; len(in) > 0 && err == nil; in = in[min(size, len(in)):] {
				if done {
					err = upstream.ErrProtocol // the caller would read it next, as the relay's
					break
				}
				var send []byte
				send, done, err = m.Feed([]byte(in[:min(size, len(in))]))
				heard += string(send)
			}
			if !errors.Is(err, c.err) || c.err == nil && done == c.undecided || c.hears != "" && heard != c.hears {
				t.Errorf("%s by %d: done %v, heard %q, %v", name, size, done, heard, err)
			}
		}
	}
	if _, _, err := upstream.New(upstream.Proxy{Kind: upstream.SOCKS4}, v6); !errors.Is(err, upstream.ErrAddress) {
		t.Error(err)
	}
}

func FuzzFeed(f *testing.F) {
	f.Add(uint8(1), []byte("\x00\x5a\x00\x00\x00\x00\x00\x00"))
	f.Add(uint8(2), []byte("\x05\x00\x05\x00\x00\x01abcdef"))
	f.Add(uint8(3), []byte("HTTP/1.1 200 OK\r\n\r\n"))
	f.Fuzz(func(t *testing.T, kind uint8, in []byte) {
		run := func(size int) (done bool, err error) {
			m, _, err := upstream.New(upstream.Proxy{Kind: upstream.Kind(1 + kind%3), Username: "u"}, netip.MustParseAddrPort("192.0.2.1:1"))
			for in := in; len(in) > 0 && err == nil && !done; in = in[min(size, len(in)):] {
				_, done, err = m.Feed(in[:min(size, len(in))])
			}
			return done, err
		}
		if done, err := run(1 << 20); done && err != nil {
			t.Fatal(err)
		}
		if done, err := run(1); done && err != nil {
			t.Fatal(err)
		}
	})
}
