package socks_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"chive/tor/socks"
)

// duckOnion is a published version 3 address.
const duckOnion = "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion"

const (
	greetNone = "\x05\x01\x00"
	greetPass = "\x05\x01\x02"
	greetBoth = "\x05\x02\x00\x02"
	saidNone  = "\x05\x00"
	saidPass  = "\x05\x02"
	authOK    = "\x01\x00"
	authBad   = "\x01\x01"
)

func credentials(user, pass string) string {
	return "\x01" + string([]byte{byte(len(user))}) + user + string([]byte{byte(len(pass))}) + pass
}

func connect(atyp byte, addr string, port uint16) string { return request(1, atyp, addr, port) }

func request(cmd, atyp byte, addr string, port uint16) string {
	return string([]byte{5, cmd, 0, atyp}) + addr + string([]byte{byte(port >> 8), byte(port)})
}

func name(host string) string { return string([]byte{byte(len(host))}) + host }

func refused(code byte) string { return string([]byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0}) }

// result is what a whole dialogue came to.
type result struct {
	Reply string
	Used  int
	Req   *socks.Request
	Err   error
}

// talk feeds in cut at the given lengths (the last piece repeats).
func talk(cfg socks.Config, in []byte, cuts ...int) result {
	m := socks.New(cfg)
	var r result
	for i := 0; len(in) > 0; i++ {
		piece := in
		if len(cuts) > 0 {
			if c := cuts[min(i, len(cuts)-1)]; c < len(in) {
				piece = in[:c]
			}
		}
		n, reply, req, err := m.Feed(piece)
		r.Used += n
		r.Reply += string(reply)
		if req != nil || err != nil {
			r.Req, r.Err = req, err
			return r
		}
		in = in[n:]
	}
	return r
}

type dialogue struct {
	name  string
	cfg   socks.Config
	in    string
	reply string
	req   *socks.Request
	err   error
	code  socks.ReplyCode // with err
	rest  int             // octets of in that stay unconsumed
}

func req(host string, ip bool) *socks.Request {
	return &socks.Request{Host: host, Port: 443, IsIP: ip}
}

func withAuth(r *socks.Request, user, pass string) *socks.Request {
	r.HasAuth, r.Username, r.Password = true, user, pass
	return r
}

const rejected4 = "\x00\x5b\x00\x00\x00\x00\x00\x00"

func four(r *socks.Request, user string) *socks.Request {
	r.SOCKS4, r.Username, r.HasAuth = true, user, user != ""
	return r
}

var dialogues = []dialogue{
	// RFC 1928 §4, §5: the three address types.
	{name: "IPv4", in: greetNone + connect(1, "\x01\x02\x03\x04", 443), reply: saidNone, req: req("1.2.3.4", true)},
	{name: "IPv6", in: greetNone + connect(4, "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", 443), reply: saidNone, req: req("2001:db8::1", true)},
	{name: "IPv4-mapped IPv6 is IPv4", in: greetNone + connect(4, strings.Repeat("\x00", 10)+"\xff\xff\x01\x02\x03\x04", 443), reply: saidNone, req: req("1.2.3.4", true)},
	{name: "name", in: greetNone + connect(3, name("www.Example.COM"), 443), reply: saidNone, req: req("www.example.com", false)},
	{name: "name with a final dot", in: greetNone + connect(3, name("example.com."), 443), reply: saidNone, req: req("example.com", false)},
	{name: "name with underscore", in: greetNone + connect(3, name("_dmarc.my_host.example"), 443), reply: saidNone, req: req("_dmarc.my_host.example", false)},
	{name: "one label", in: greetNone + connect(3, name("localhost"), 443), reply: saidNone, req: req("localhost", false)},
	{name: "name that is IPv4", in: greetNone + connect(3, name("1.2.3.4"), 443), reply: saidNone, req: req("1.2.3.4", true)},
	{name: "name that is IPv6", in: greetNone + connect(3, name("2001:DB8:0::1"), 443), reply: saidNone, req: req("2001:db8::1", true)},
	{name: "name that is bracketed IPv6", in: greetNone + connect(3, name("[2001:db8::1]"), 443), reply: saidNone, req: req("2001:db8::1", true)},
	{name: "longest name", in: greetNone + connect(3, name(longName(253)), 443), reply: saidNone, req: req(longName(253), false)},
	{name: "early data stays (socks-extensions §5)", in: greetNone + connect(3, name("a.b"), 443) + "GET / HTTP/1.0\r\n\r\n", reply: saidNone, req: req("a.b", false), rest: 18},

	// RFC 1929, socks-extensions §1.1.
	{name: "password", in: greetPass + credentials("alice", "s3cret") + connect(3, name("a.b"), 443), reply: saidPass + authOK, req: withAuth(req("a.b", false), "alice", "s3cret")},
	{name: "password preferred", in: greetBoth + credentials("alice", "x") + connect(3, name("a.b"), 443), reply: saidPass + authOK, req: withAuth(req("a.b", false), "alice", "x")},
	{name: "none preferred by flag", cfg: socks.Config{PreferNoAuth: true}, in: greetBoth + connect(3, name("a.b"), 443), reply: saidNone, req: req("a.b", false)},
	{name: "only password offered to a listener that prefers none", cfg: socks.Config{PreferNoAuth: true}, in: greetPass + credentials("u", "p") + connect(3, name("a.b"), 443), reply: saidPass + authOK, req: withAuth(req("a.b", false), "u", "p")},
	{name: "empty credentials", in: greetPass + credentials("", "") + connect(3, name("a.b"), 443), reply: saidPass + authOK, req: withAuth(req("a.b", false), "", "")},
	{name: "longest credentials, any octets", in: greetPass + credentials(strings.Repeat("\x00", 255), strings.Repeat("\xff", 255)) + connect(3, name("a.b"), 443), reply: saidPass + authOK, req: withAuth(req("a.b", false), strings.Repeat("\x00", 255), strings.Repeat("\xff", 255))},
	{name: "credentials after no authentication", in: greetNone + credentials("u", "p") + connect(3, name("a.b"), 443), reply: saidNone + authOK, req: withAuth(req("a.b", false), "u", "p")},
	{name: "credentials twice", in: greetNone + credentials("u", "p") + credentials("u", "p"), reply: saidNone + authOK + refused(1), err: socks.ErrRequest, code: 1, rest: 4},
	{name: "unknown methods skipped", in: "\x05\x04\x80\x01\x03\x00" + connect(3, name("a.b"), 443), reply: saidNone, req: req("a.b", false)},
	{name: "GSSAPI only", in: "\x05\x01\x01", reply: "\x05\xff", err: socks.ErrMethods, code: 1},
	{name: "no methods", in: "\x05\x00", reply: "\x05\xff", err: socks.ErrMethods, code: 1},
	{name: "request where credentials are due", in: greetPass + "\x05\x01\x00", reply: saidPass + authBad, err: socks.ErrCredentials, code: 1, rest: 2},

	// Proposal 351.
	{name: "extended format 0", in: greetPass + credentials("<torS0X>0", "token") + connect(3, name("a.b"), 443), reply: saidPass + authOK, req: withAuth(req("a.b", false), "<torS0X>0", "token")},
	{name: "extended format missing", in: greetPass + credentials("<torS0X>", "token"), reply: saidPass + authBad, err: socks.ErrExtendedFormat, code: 2},
	{name: "extended format 0 with more", in: greetPass + credentials("<torS0X>0abc", "token"), reply: saidPass + authBad, err: socks.ErrExtendedFormat, code: 2},
	{name: "extended format 1", in: greetPass + credentials("<torS0X>1obj", "token"), reply: saidPass + authBad, err: socks.ErrExtendedFormat, code: 2},
	{name: "not the prefix", in: greetPass + credentials("<tors0x>1", "") + connect(3, name("a.b"), 443), reply: saidPass + authOK, req: withAuth(req("a.b", false), "<tors0x>1", "")},

	// Refused requests.
	{name: "BIND", in: greetNone + request(2, 1, "\x01\x02\x03\x04", 443), reply: saidNone + refused(7), err: socks.ErrCommand, code: 7},
	{name: "UDP ASSOCIATE without a target", in: greetNone + request(3, 1, "\x00\x00\x00\x00", 0), reply: saidNone + refused(7), err: socks.ErrCommand, code: 7},
	{name: "RESOLVE", in: greetNone + request(0xF0, 3, name("a.b"), 0), reply: saidNone, req: &socks.Request{Host: "a.b", Resolve: true}},
	{name: "RESOLVE_PTR of IPv4", in: greetNone + request(0xF1, 1, "\x01\x02\x03\x04", 0), reply: saidNone, req: &socks.Request{Host: "1.2.3.4", IsIP: true, Reverse: true}},
	{name: "RESOLVE_PTR of IPv6", in: greetNone + request(0xF1, 4, "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", 0), reply: saidNone, req: &socks.Request{Host: "2001:db8::1", IsIP: true, Reverse: true}},
	{name: "RESOLVE_PTR of an address as text", in: greetNone + request(0xF1, 3, name("1.2.3.4"), 0), reply: saidNone, req: &socks.Request{Host: "1.2.3.4", IsIP: true, Reverse: true}},
	{name: "RESOLVE_PTR of a name", in: greetNone + request(0xF1, 3, name("a.b"), 0), reply: saidNone + refused(8), err: socks.ErrReverse, code: 8},
	{name: "command 0", in: greetNone + request(0, 1, "\x01\x02\x03\x04", 1), reply: saidNone + refused(7), err: socks.ErrCommand, code: 7},
	{name: "address type 2", in: greetNone + "\x05\x01\x00\x02abc", reply: saidNone + refused(8), err: socks.ErrAddressType, code: 8, rest: 3},
	{name: "reserved octet", in: greetNone + "\x05\x01\x01\x01\x01\x02\x03\x04\x00\x50", reply: saidNone + refused(1), err: socks.ErrRequest, code: 1},
	{name: "version 4 request", in: greetNone + "\x04\x01\x00\x01", reply: saidNone + refused(1), err: socks.ErrRequest, code: 1, rest: 3},
	{name: "port 0", in: greetNone + connect(3, name("a.b"), 0), reply: saidNone + refused(1), err: socks.ErrPort, code: 1},

	// address-spec §2, §3.
	{name: "onion v3", in: greetNone + connect(3, name(duckOnion), 443), reply: saidNone, req: req(duckOnion, false)},
	{name: "onion v3, upper case, label before, dot after", in: greetNone + connect(3, name("WWW."+strings.ToUpper(duckOnion)+"."), 443), reply: saidNone, req: req("www."+duckOnion, false)},
	{name: "onion v2", in: greetNone + connect(3, name("expyuzz4wqqyqhjn.onion"), 443), reply: saidNone + refused(4), err: socks.ErrOnionV2, code: 4},
	{name: "onion v2, extended errors", cfg: socks.Config{ExtendedErrors: true}, in: greetNone + connect(3, name("expyuzz4wqqyqhjn.onion"), 443), reply: saidNone + refused(0xF6), err: socks.ErrOnionV2, code: 0xF6},
	{name: "onion v3, wrong checksum", cfg: socks.Config{ExtendedErrors: true}, in: greetNone + connect(3, name("e"+duckOnion[1:]), 443), reply: saidNone + refused(0xF6), err: socks.ErrOnionAddress, code: 0xF6},
	{name: "onion v3, wrong version", cfg: socks.Config{ExtendedErrors: true}, in: greetNone + connect(3, name(duckOnion[:55]+"b.onion"), 443), reply: saidNone + refused(0xF6), err: socks.ErrOnionAddress, code: 0xF6},
	{name: "onion of another length", in: greetNone + connect(3, name("abc.onion"), 443), reply: saidNone + refused(4), err: socks.ErrOnionAddress, code: 4},
	{name: "onion alone", in: greetNone + connect(3, name("onion"), 443), reply: saidNone + refused(4), err: socks.ErrOnionAddress, code: 4},
	{name: "exit name", in: greetNone + connect(3, name("example.com.relay.exit"), 443), reply: saidNone + refused(2), err: socks.ErrExit, code: 2},

	// Other protocols on the port; each is decided on the first octet.
	// SOCKS4 and SOCKS4a.
	{name: "SOCKS4 CONNECT", in: "\x04\x01\x01\xbb\x01\x02\x03\x04\x00", req: four(req("1.2.3.4", true), "")},
	{name: "SOCKS4 user id isolates", in: "\x04\x01\x01\xbb\x01\x02\x03\x04alice\x00", req: four(req("1.2.3.4", true), "alice")},
	{name: "SOCKS4 early data stays", in: "\x04\x01\x01\xbb\x01\x02\x03\x04\x00GET", req: four(req("1.2.3.4", true), ""), rest: 3},
	{name: "SOCKS4a name", in: "\x04\x01\x01\xbb\x00\x00\x00\x01\x00A.B\x00GET", req: four(req("a.b", false), ""), rest: 3},
	{name: "SOCKS4a name and user id", in: "\x04\x01\x01\xbb\x00\x00\x00\xffu\x00a.b\x00", req: four(req("a.b", false), "u")},
	{name: "SOCKS4a IPv6 as text", in: "\x04\x01\x01\xbb\x00\x00\x00\x01\x00[2001:db8::1]\x00", req: four(req("2001:db8::1", true), "")},
	{name: "SOCKS4a RESOLVE", in: "\x04\xf0\x00\x00\x00\x00\x00\x01\x00a.b\x00", req: &socks.Request{Host: "a.b", Resolve: true, SOCKS4: true}},
	{name: "SOCKS4 longest fields", in: "\x04\x01\x01\xbb\x00\x00\x00\x01" + strings.Repeat("u", 255) + "\x00" + longName(253) + "\x00", req: four(req(longName(253), false), strings.Repeat("u", 255))},
	{name: "SOCKS4 user id without end", in: "\x04\x01\x01\xbb\x01\x02\x03\x04" + strings.Repeat("u", 300), reply: rejected4, err: socks.ErrRequest, code: 1, rest: 44},
	{name: "SOCKS4a user id without end", in: "\x04\x01\x01\xbb\x00\x00\x00\x01" + strings.Repeat("u", 300), reply: rejected4, err: socks.ErrRequest, code: 1, rest: 44},
	{name: "SOCKS4a name without end", in: "\x04\x01\x01\xbb\x00\x00\x00\x01\x00" + strings.Repeat("u", 300), reply: rejected4, err: socks.ErrRequest, code: 1, rest: 44},
	{name: "SOCKS4 BIND", in: "\x04\x02\x01\xbb\x01\x02\x03\x04\x00", reply: rejected4, err: socks.ErrCommand, code: 7},
	{name: "SOCKS4 has no RESOLVE_PTR", in: "\x04\xf1\x01\xbb\x01\x02\x03\x04\x00", reply: rejected4, err: socks.ErrCommand, code: 7},
	{name: "SOCKS4 address 0", in: "\x04\x01\x01\xbb\x00\x00\x00\x00\x00", reply: rejected4, err: socks.ErrHost, code: 1},
	{name: "SOCKS4 port 0", in: "\x04\x01\x00\x00\x01\x02\x03\x04\x00", reply: rejected4, err: socks.ErrPort, code: 1},
	{name: "SOCKS4a .exit", in: "\x04\x01\x01\xbb\x00\x00\x00\x01\x00a.exit\x00", reply: rejected4, err: socks.ErrExit, code: 2},
	{name: "SOCKS4 extended user id", in: "\x04\x01\x01\xbb\x01\x02\x03\x04<torS0X>0\x00", reply: rejected4, err: socks.ErrExtendedFormat, code: 2},
	{name: "TLS", in: "\x16\x03\x01\x02\x00\x01", reply: "\x15\x03\x01\x00\x02\x02\x0a", err: socks.ErrTLS, code: 1, rest: 5},
	{name: "binary noise", in: "\x00\x01", reply: "", err: socks.ErrNotSOCKS, code: 1, rest: 1},
	{name: "lower-case text", in: "hello", reply: "", err: socks.ErrNotSOCKS, code: 1, rest: 4},

	// Not finished yet.
	{name: "nothing but a version", in: "\x05"},
	{name: "half a greeting", in: "\x05\x03\x00"},
	{name: "half a request", in: greetNone + "\x05\x01\x00\x03\x0bexample", reply: saidNone},
	{name: "half of the credentials", in: greetPass + "\x01\x05alice\x04", reply: saidPass},
}

func longName(n int) string {
	label := strings.Repeat("a", 63) + "."
	return strings.Repeat(label, 8)[:n-1] + "b"
}

func TestDialogues(t *testing.T) {
	for _, d := range dialogues {
		t.Run(d.name, func(t *testing.T) {
			got := talk(d.cfg, []byte(d.in))
			if got.Reply != d.reply {
				t.Errorf("reply %q, want %q", got.Reply, d.reply)
			}
			if diff := cmp.Diff(d.req, got.Req); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			if got.Used != len(d.in)-d.rest {
				t.Errorf("consumed %d, want %d", got.Used, len(d.in)-d.rest)
			}
			if !errors.Is(got.Err, d.err) {
				t.Fatalf("error %v, want %v", got.Err, d.err)
			}
			var refusal *socks.RefusalError
			if d.err != nil && (!errors.As(got.Err, &refusal) || refusal.Code != d.code) {
				t.Errorf("refusal %+v, want code %v", refusal, d.code)
			}
		})
	}
}

// Names that are refused, each in a request of its own.
func TestBadNames(t *testing.T) {
	for _, host := range []string{
		"", ".", "a..b", ".a", "a b", "a\tb", "a\x00b", "a\nb", "\x7f", "a\x80", "bücher.example", "a/b", "a:80", "a@b",
		"-a.example", "a-.example", strings.Repeat("a", 64) + ".example", longName(254), strings.Repeat("a.", 127) + "a",
		"127.1", "1.2.3.256", "1.2.3.4.5", "2130706433", "0x7f000001", "foo.0x1", "01.2.3.4", "[1.2.3.4]", "[::1", "::1]", "fe80::1%eth0", "[]",
	} {
		if len(host) > 255 {
			t.Fatalf("%q does not fit a request", host)
		}
		got := talk(socks.Config{}, []byte(greetNone+connect(3, name(host), 443)))
		if !errors.Is(got.Err, socks.ErrHost) || got.Reply != saidNone+refused(1) {
			t.Errorf("%q: reply %q, request %+v, error %v", host, got.Reply, got.Req, got.Err)
		}
	}
}

// What is sent does not depend on how reads cut it, and stops being consumed at
// the same octet.
func TestChunkingNeverChangesTheResult(t *testing.T) {
	for _, d := range dialogues {
		whole := talk(d.cfg, []byte(d.in))
		for first := 1; first < len(d.in); first++ {
			for _, rest := range []int{1, 2, 7, len(d.in)} {
				if diff := cmp.Diff(whole, talk(d.cfg, []byte(d.in), first, rest), cmp.Comparer(sameError)); diff != "" {
					t.Fatalf("%s, cut %d then %d (-whole +cut):\n%s", d.name, first, rest, diff)
				}
			}
		}
	}
}

func sameError(a, b error) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Error() == b.Error()
}

func TestFeedAfterTheEnd(t *testing.T) {
	for _, in := range []string{greetNone + connect(3, name("a.b"), 443), "\x16"} {
		m := socks.New(socks.Config{})
		if _, _, req, err := m.Feed([]byte(in)); req == nil && err == nil {
			t.Fatalf("%q: dialogue not over", in)
		}
		n, reply, req, err := m.Feed([]byte(in))
		if n != 0 || reply != nil || req != nil || !errors.Is(err, socks.ErrDone) {
			t.Errorf("%q: %d %q %+v %v", in, n, reply, req, err)
		}
	}
}

// Errors reach logs: they never carry what the client asked for.
func TestErrorsCarryNoTarget(t *testing.T) {
	for _, in := range []string{
		connect(3, name("secret-name.exit"), 443), connect(3, name("secret-name.onion"), 443),
		connect(3, name("secret-name"), 0), connect(3, name("-secret-name"), 443), request(2, 3, name("secret-name"), 443),
	} {
		got := talk(socks.Config{}, []byte(greetPass+credentials("secret-user", "secret-pass")+in))
		if got.Err == nil || strings.Contains(got.Err.Error(), "secret") {
			t.Errorf("%q: error %v", in, got.Err)
		}
	}
}

func FuzzFeed(f *testing.F) {
	for _, d := range dialogues {
		f.Add([]byte(d.in), uint8(3), uint8(1), d.cfg.ExtendedErrors, d.cfg.PreferNoAuth)
	}
	f.Fuzz(func(t *testing.T, in []byte, first, rest uint8, extended, preferNone bool) {
		cfg := socks.Config{ExtendedErrors: extended, PreferNoAuth: preferNone}
		whole := talk(cfg, in)
		if diff := cmp.Diff(whole, talk(cfg, in, int(first)+1, int(rest)+1), cmp.Comparer(sameError)); diff != "" {
			t.Fatalf("cut (-whole +cut):\n%s", diff)
		}
		if whole.Used > len(in) {
			t.Fatalf("consumed %d of %d", whole.Used, len(in))
		}
		if r := whole.Req; r != nil {
			if r.Port == 0 && !r.Resolve && !r.Reverse || r.Host == "" || len(r.Host) > 253 || strings.ToLower(r.Host) != r.Host || strings.ContainsAny(r.Host, " \x00\t\r\n/%") {
				t.Fatalf("request %+v", r)
			}
			again := talk(cfg, []byte(greetNone+connect(3, name(r.Host), max(r.Port, 1))))
			if again.Req == nil || again.Req.Host != r.Host || again.Req.IsIP != r.IsIP {
				t.Fatalf("%+v is not canonical: %+v", r, again.Req)
			}
		}
		if whole.Req != nil && whole.Req.SOCKS4 != bytes.HasPrefix(in, []byte{4}) {
			t.Fatalf("%+v of version %d", whole.Req, in[0])
		}
	})
}
