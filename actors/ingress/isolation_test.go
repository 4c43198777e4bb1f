package ingress

import (
	"net/netip"
	"slices"
	"testing"

	"chive/config"
	"chive/tor/httpconnect"
	"chive/tor/isolation"
	"chive/tor/socks"
)

// Each flag isolates by its own field, and what is asked for is in the field whether it
// isolates or not.
func TestIsolated(t *testing.T) {
	var key [32]byte
	client := netip.MustParseAddrPort("127.0.0.1:1000")
	ask := func() *asked {
		return &asked{protocol: "socks5 connect", auth: []string{"password", "alice", "x"}, original: "a.test", port: 80}
	}
	plain := config.SocksPort{SessionGroup: -1}
	first := isolated(&key, plain, "l1", "1", client, ask())
	for name, tt := range map[string]struct {
		on     func(*config.SocksPort)
		differ func(*asked) (client, group, id string)
		field  isolation.Field
	}{
		"IsolateClientAddr":     {func(p *config.SocksPort) { p.IsolateClientAddr = true }, func(*asked) (string, string, string) { return "127.0.0.2:1000", "", "" }, isolation.ClientAddr},
		"IsolateSOCKSAuth":      {func(p *config.SocksPort) { p.IsolateSOCKSAuth = true }, func(a *asked) (string, string, string) { a.auth[2] = "y"; return "", "", "" }, isolation.SOCKSAuth},
		"IsolateClientProtocol": {func(p *config.SocksPort) { p.IsolateClientProtocol = true }, func(a *asked) (string, string, string) { a.protocol = "dns"; return "", "", "" }, isolation.ClientProtocol},
		"IsolateDestPort":       {func(p *config.SocksPort) { p.IsolateDestPort = true }, func(a *asked) (string, string, string) { a.port = 443; return "", "", "" }, isolation.DestPort},
		"IsolateDestAddr":       {func(p *config.SocksPort) { p.IsolateDestAddr = true }, func(a *asked) (string, string, string) { a.original = "b.test"; return "", "", "" }, isolation.DestAddr},
		"IsolateClientPort":     {func(p *config.SocksPort) { p.IsolateClientPort = true }, func(*asked) (string, string, string) { return "127.0.0.1:1001", "", "" }, isolation.ClientPort},
		"another listener":      {func(*config.SocksPort) {}, func(*asked) (string, string, string) { return "", "l2", "" }, isolation.SessionGroup},
		"another group":         {func(p *config.SocksPort) { p.SessionGroup = 1 }, func(*asked) (string, string, string) { return "", "", "" }, isolation.SessionGroup},
	} {
		t.Run(name, func(t *testing.T) {
			a, p := ask(), plain
			from, group, id := tt.differ(a)
			at := client
			if from != "" {
				at = netip.MustParseAddrPort(from)
			}
			if group == "" {
				group = "l1"
			}
			tt.on(&p)
			got := isolated(&key, p, group, id, at, a)
			if !got.Isolates().Has(tt.field) || got.Compatible(&first) {
				t.Errorf("it may share: isolates by %b", got.Isolates())
			}
			for f := range isolation.Field(isolation.Fields) {
				if (got.Values[f] != first.Values[f]) != (f == tt.field) {
					t.Errorf("field %d: the same is %v", f, got.Values[f] == first.Values[f])
				}
			}
		})
	}
	g := config.SocksPort{SessionGroup: 1}
	one, two := isolated(&key, g, "l1", "1", client, ask()), isolated(&key, g, "l2", "2", client, ask())
	if !one.Compatible(&two) || one.Name() != two.Name() {
		t.Error("one SessionGroup keeps two listeners apart")
	}
	if other := isolated(&[32]byte{1}, g, "l1", "1", client, ask()); other.Name() == one.Name() {
		t.Error("names are the same in each boot")
	}
}

// KeepAliveIsolateSOCKSAuth is for who gave a name or a password that is not empty.
func TestAuthenticated(t *testing.T) {
	rules := &Rules{}
	for _, tt := range []struct {
		req  socks.Request
		want bool
	}{
		{socks.Request{}, false},
		{socks.Request{HasAuth: true}, false},
		{socks.Request{HasAuth: true, Username: "a"}, true},
		{socks.Request{HasAuth: true, Password: "b"}, true},
		{socks.Request{SOCKS4: true, HasAuth: true, Username: "a"}, true},
	} {
		if got := askedSOCKS(rules, &tt.req).authenticated; got != tt.want {
			t.Errorf("%+v: %v", tt.req, got)
		}
	}
}

// Who gives a user name and a password by SOCKS and by HTTP is one identity, whatever else
// isolates the stream, and on circuits that differ, though the protocol isolates nothing.
func TestIdentitiesOfHTTP(t *testing.T) {
	key := [32]byte{1}
	text := func(s string) *string { return &s }
	rules := &Rules{Port: config.SocksPort{SessionGroup: -1, IsolateSOCKSAuth: true}}
	alice := text("Basic YWxpY2U6eA==") // alice:x
	own := identities(key, askedSOCKS(rules, &socks.Request{HasAuth: true, Username: "alice", Password: "x"}))
	if x := "x"; !slices.Equal(own, []string{Identity(key, "alice", nil), Identity(key, "alice", &x)}) {
		t.Fatalf("of SOCKS: %v", own)
	}
	for name, tt := range map[string]struct {
		req                httpconnect.Request
		sameUser, sameOnes bool
	}{
		"the same":              {httpconnect.Request{Authorization: alice}, true, true},
		"with an isolation":     {httpconnect.Request{Authorization: alice, Isolation: text("a")}, true, true},
		"another password":      {httpconnect.Request{Authorization: text("Basic YWxpY2U6eQ==")}, true, false},
		"another user":          {httpconnect.Request{Authorization: text("Basic Ym9iOng=")}, false, false},
		"another scheme":        {httpconnect.Request{Authorization: text("Bearer YWxpY2U6eA==")}, false, false},
		"an isolation alone":    {httpconnect.Request{Isolation: text("alice"), XIsolation: text("x")}, false, false},
		"nothing that isolates": {httpconnect.Request{}, false, false},
	} {
		got := identities(key, askedHTTP(rules, &tt.req))
		if named := tt.req.Authorization != nil; (len(got) == 2) != named || (len(got) == 0) == named {
			t.Errorf("%s: %d tokens", name, len(got))
		}
		if same := len(got) > 0 && got[0] == own[0]; same != tt.sameUser || slices.Equal(got, own) != tt.sameOnes {
			t.Errorf("%s: %v, of SOCKS %v", name, got, own)
		}
	}
	client := netip.MustParseAddrPort("127.0.0.1:1000")
	over := func(a *asked) isolation.Token { return isolated(&key, rules.Port, "l1", "1", client, a) }
	one, two := over(askedSOCKS(rules, &socks.Request{HasAuth: true, Username: "alice", Password: "x"})), over(askedHTTP(rules, &httpconnect.Request{Authorization: alice}))
	if one.Compatible(&two) {
		t.Error("SOCKS and HTTP may share a circuit")
	}
}

func BenchmarkIsolated(b *testing.B) {
	var key [32]byte
	a := &asked{protocol: "socks5 connect", auth: []string{"password", "alice", "x"}, original: "a.test", port: 80}
	p := config.SocksPort{SessionGroup: -1, IsolateClientAddr: true, IsolateSOCKSAuth: true}
	client := netip.MustParseAddrPort("127.0.0.1:1000")
	for b.Loop() {
		isolated(&key, p, "listener", "stream", client, a)
	}
}
