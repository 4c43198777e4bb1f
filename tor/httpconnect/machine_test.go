package httpconnect_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"chive/tor/httpconnect"
)

type result struct {
	Used  int
	Reply string
	Req   *httpconnect.Request
	Err   string
}

// talk feeds in by pieces of a size; 0 is all at once.
func talk(in string, size int) (r result, err error) {
	m := httpconnect.New()
	for len(in) > 0 && r.Req == nil && err == nil {
		piece := in
		if size > 0 {
			piece = in[:min(size, len(in))]
		}
		var n int
		var reply []byte
		n, reply, r.Req, err = m.Feed([]byte(piece))
		r.Used += n
		r.Reply += string(reply)
		in = in[n:]
	}
	if err != nil {
		r.Err = err.Error()
	}
	return r, err
}

func text(s string) *string { return &s }

const onion = "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion"

var requests = map[string]*httpconnect.Request{
	"CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:443\r\n\r\n":                                    {Host: "a.b", Port: 443},
	"CONNECT A.B.:443 HTTP/1.0\r\n\r\n":                                                    {Host: "a.b", Port: 443},
	"CONNECT 192.0.2.1:80 HTTP/1.1\r\n\r\n":                                                {Host: "192.0.2.1", Port: 80, IsIP: true},
	"CONNECT [2001:DB8::1]:80 HTTP/1.1\r\n\r\n":                                            {Host: "2001:db8::1", Port: 80, IsIP: true},
	"CONNECT " + onion + ":80 HTTP/1.1\r\n\r\n":                                            {Host: onion, Port: 80},
	"CONNECT a.b:1 HTTP/1.1\r\nproxy-authorization:  Basic dG9yLWlzbzp4 \r\n\r\n":          {Host: "a.b", Port: 1, Authorization: text("Basic dG9yLWlzbzp4")},
	"CONNECT a.b:1 HTTP/1.1\r\nTor-Stream-Isolation: x\r\nX-Tor-Stream-Isolation:\r\n\r\n": {Host: "a.b", Port: 1, Isolation: text("x"), XIsolation: text("")},
	"CONNECT a.b:1 HTTP/1.1\r\nTor-Family-Preference: ipv6-only\r\n\r\n":                   {Host: "a.b", Port: 1, Family: httpconnect.IPv6Only},
	"CONNECT a.b:1 HTTP/1.1\r\nTor-Family-Preference: ipv4-preferred\r\n\r\n":              {Host: "a.b", Port: 1, Family: httpconnect.IPv4Preferred},
	"CONNECT a.b:1 HTTP/1.1\r\nContent-Length: 0\r\nSec-Fetch-Site: none\r\n\r\n":          {Host: "a.b", Port: 1},
}

var refusals = []struct {
	in     string
	status int
	err    error
}{
	// A page may have made these: not a word.
	{"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 0, httpconnect.ErrProbe},
	{"GET //a.b/ HTTP/1.1\r\nHost: a.b\r\n\r\n", 0, httpconnect.ErrProbe},
	{"GET /http://a.b/ HTTP/1.1\r\nHost: a.b\r\n\r\n", 0, httpconnect.ErrProbe},
	{"GET ://a.b/ HTTP/1.1\r\nHost: a.b\r\n\r\n", 0, httpconnect.ErrProbe},
	{"GET http://a.b/ HTTP/1.1\r\nHost: a.b\r\nOrigin: http://evil.example\r\n\r\n", 0, httpconnect.ErrProbe},
	{"GET http://a.b/ HTTP/1.1\r\nHost: a.b\r\nSec-Fetch-Site: cross-site\r\n\r\n", 0, httpconnect.ErrProbe},
	{"GET / HTTP/1.0\r\n\r\n", 0, httpconnect.ErrProbe},
	{"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 0, httpconnect.ErrProbe},
	{"OPTIONS * HTTP/1.1\r\nHost: evil.example\r\n\r\n", 0, httpconnect.ErrProbe},
	{"OPTIONS / HTTP/1.1\r\nHost: 127.0.0.1:9050\r\nOrigin: https://evil.example\r\n\r\n", 0, httpconnect.ErrProbe},
	{"GET / HTTP/1.1\r\nHost: localhost:9050\r\nSec-Fetch-Site: cross-site\r\n\r\n", 0, httpconnect.ErrProbe},
	{"CONNECT a.b:443 HTTP/1.1\r\nOrigin: https://evil.example\r\n\r\n", 0, httpconnect.ErrProbe},
	{"GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", 0, httpconnect.ErrProbe},
	// A person who looks.
	{"OPTIONS * HTTP/1.1\r\nHost: localhost:9050\r\n\r\n", 200, httpconnect.ErrOptions},
	{"GET / HTTP/1.1\r\nHost: 127.0.0.1:9050\r\nSec-Fetch-Site: none\r\n\r\n", 405, httpconnect.ErrMethod},
	{"POST / HTTP/1.1\r\nHost: [::1]:9050\r\n\r\n", 405, httpconnect.ErrMethod},
	{"connect a.b:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, httpconnect.ErrMethod},
	// A program that is set to use this port for plain HTTP.
	{"GET http://a.b/ HTTP/1.1\r\nHost: a.b\r\nProxy-Connection: Keep-Alive\r\n\r\n", 405, httpconnect.ErrMethod},
	{"POST HTTP://a.b:8080 HTTP/1.0\r\n\r\n", 405, httpconnect.ErrMethod},
	{"GET ftp://a.b/x HTTP/1.1\r\nHost: a.b:21\r\nSec-Fetch-Site: none\r\n\r\n", 405, httpconnect.ErrMethod},
	{"OPTIONS http://a.b/ HTTP/1.1\r\nHost: a.b\r\n\r\n", 405, httpconnect.ErrMethod},
	// CONNECT that asks for what cannot be.
	{"CONNECT a.b HTTP/1.1\r\n\r\n", 400, httpconnect.ErrTarget},
	{"CONNECT a.b:0 HTTP/1.1\r\n\r\n", 400, httpconnect.ErrTarget},
	{"CONNECT a.b:65536 HTTP/1.1\r\n\r\n", 400, httpconnect.ErrTarget},
	{"CONNECT a..b:1 HTTP/1.1\r\n\r\n", 400, httpconnect.ErrTarget},
	{"CONNECT http://a.b:1 HTTP/1.1\r\n\r\n", 400, httpconnect.ErrTarget},
	{"CONNECT aaaaaaaaaaaaaaaa.onion:1 HTTP/1.1\r\n\r\n", 400, httpconnect.ErrOnion},
	{"CONNECT aaaa.onion:1 HTTP/1.1\r\n\r\n", 400, httpconnect.ErrOnion},
	{"CONNECT a.exit:1 HTTP/1.1\r\n\r\n", 403, httpconnect.ErrExit},
	{"CONNECT a.b:1 HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 400, httpconnect.ErrBody},
	{"CONNECT a.b:1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, httpconnect.ErrBody},
	{"CONNECT a.b:1 HTTP/1.1\r\nTor-Stream-Isolation: a\r\ntor-stream-isolation: b\r\n\r\n", 400, httpconnect.ErrDuplicate},
	{"CONNECT a.b:1 HTTP/1.1\r\nTor-Family-Preference: ipv5\r\n\r\n", 400, httpconnect.ErrFamily},
	{"CONNECT a.b:1 HTTP/1.1\r\nTor-RPC-Target: x\r\n\r\n", 501, httpconnect.ErrRPC},
	// No HTTP/1.
	{"PRI * HTTP/2.0\r\n\r\n", 0, httpconnect.ErrMalformed},
	{"CONNECT  a.b:1 HTTP/1.1\r\n\r\n", 0, httpconnect.ErrMalformed},
	{"CONNECT a.b:1 HTTP/1.1\r\nno colon\r\n\r\n", 0, httpconnect.ErrMalformed},
	{"CONNECT a.b:1 HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 0, httpconnect.ErrMalformed},
	{"CONNECT a.b:1 HTTP/1.1\r\nA : b\r\n\r\n", 0, httpconnect.ErrMalformed},
	{"CONNECT a.b:1 HTTP/1.1\r\nA: b\x00\r\n\r\n", 0, httpconnect.ErrMalformed},
	{"CONNECT a.b:1 HTTP/1.1\r\nA: b\nC: d\r\n\r\n", 0, httpconnect.ErrMalformed},
	{"CONNECT a.b:1 HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", 129) + "\r\n", 0, httpconnect.ErrMalformed},
	{"CONNECT a.b:1 HTTP/1.1\r\nA: " + strings.Repeat("b", 17<<10), 0, httpconnect.ErrTooLarge},
}

func TestConnect(t *testing.T) {
	for in, want := range requests {
		got, err := talk(in+"early\r\n\r\n", 0)
		if diff := cmp.Diff(result{Used: len(in), Req: want}, got); diff != "" || err != nil {
			t.Errorf("%q: %v\n%s", in, err, diff)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range refusals {
		got, err := talk(c.in, 0)
		var r *httpconnect.RefusalError
		if !errors.Is(err, c.err) || !errors.As(err, &r) || r.Status != c.status || got.Req != nil {
			t.Errorf("%.80q: %+v, %v", c.in, r, err)
			continue
		}
		if (got.Reply == "") != (c.status == 0) || c.status != 0 && (!strings.HasPrefix(got.Reply, "HTTP/1.0 ") || !strings.Contains(got.Reply, "Tor-Capabilities: ") || !strings.Contains(got.Reply, "\r\n\r\n")) {
			t.Errorf("%.80q: reply %q", c.in, got.Reply)
		}
	}
}

// What is answered does not depend on how reads cut it.
func TestChunkingNeverChangesTheResult(t *testing.T) {
	var all []string
	for in := range requests {
		all = append(all, in+"early")
	}
	for _, c := range refusals {
		all = append(all, c.in)
	}
	for _, in := range all {
		whole, _ := talk(in, 0)
		for _, size := range []int{1, 2, 3, 7, 100} {
			got, _ := talk(in, size)
			if diff := cmp.Diff(whole, got); diff != "" {
				t.Fatalf("%.80q by %d (-whole +cut):\n%s", in, size, diff)
			}
		}
	}
}

func TestFeedAfterTheEnd(t *testing.T) {
	m := httpconnect.New()
	if _, _, req, err := m.Feed([]byte("CONNECT a.b:1 HTTP/1.1\r\n\r\n")); req == nil {
		t.Fatal(err)
	}
	if n, _, req, err := m.Feed([]byte("x")); n != 0 || req != nil || !errors.Is(err, httpconnect.ErrDone) {
		t.Fatal(n, req, err)
	}
}

func TestReplies(t *testing.T) {
	if got := string(httpconnect.AppendConnected(nil)); !strings.HasPrefix(got, "HTTP/1.0 200 OK\r\n") || !strings.HasSuffix(got, "\r\n\r\n") {
		t.Errorf("%q", got)
	}
	if got := string(httpconnect.AppendFailed(nil, 504, "timeout")); !strings.HasPrefix(got, "HTTP/1.0 504 Gateway Timeout\r\n") || !strings.Contains(got, "\r\nTor-Request-Failed: chive/timeout\r\n\r\n") {
		t.Errorf("%q", got)
	}
}

func FuzzFeed(f *testing.F) {
	for in := range requests {
		f.Add(in, uint8(3))
	}
	for _, c := range refusals {
		f.Add(c.in, uint8(1))
	}
	f.Fuzz(func(t *testing.T, in string, size uint8) {
		whole, err := talk(in, 0)
		got, _ := talk(in, int(size)+1)
		if diff := cmp.Diff(whole, got); diff != "" {
			t.Fatalf("cut (-whole +cut):\n%s", diff)
		}
		if whole.Used > 16<<10 || whole.Used > len(in) {
			t.Fatalf("consumed %d", whole.Used)
		}
		if r := whole.Req; r != nil && (err != nil || r.Port == 0 || r.Host == "" || len(r.Host) > 253) {
			t.Fatalf("%+v, %v", r, err)
		}
		if r := whole.Req; r != nil {
			if user, password, ok := r.Credentials(); ok != (r.Authorization != nil) || ok && len(user)+len(password) > len(*r.Authorization) {
				t.Fatalf("%q %q of %+v", user, password, r)
			}
		}
	})
}
