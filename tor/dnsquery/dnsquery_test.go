package dnsquery_test

import (
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"chive/tor/cell"
	"chive/tor/dnsquery"
	"chive/tor/socks"
)

func question(t testing.TB, name string, kind dnsmessage.Type, class dnsmessage.Class) []byte {
	t.Helper()
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 7, RecursionDesired: true})
	b.EnableCompression()
	if err := b.StartQuestions(); err != nil {
		t.Fatal(err)
	}
	if err := b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: kind, Class: class}); err != nil {
		t.Fatal(err)
	}
	out, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func parsed(t testing.TB, msg []byte) dnsmessage.Message {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(msg); err != nil {
		t.Fatal(err)
	}
	if m.ID != 7 || !m.Response || !m.RecursionAvailable || !m.RecursionDesired || len(msg) > 512 {
		t.Errorf("%d bytes, header %+v", len(msg), m.Header)
	}
	return m
}

func TestQuestions(t *testing.T) {
	in := dnsmessage.ClassINET
	q, _, _ := dnsquery.Parse(question(t, "Www.Example.COM.", dnsmessage.TypeA, in))
	if q == nil || q.Host != "www.example.com" || q.IPv6 {
		t.Fatalf("%+v", q)
	}
	m := parsed(t, q.Answer([]cell.Answer{
		{Addr: netip.MustParseAddr("2001:db8::1"), TTL: 7},
		{Name: "x.y"},
		{Addr: netip.MustParseAddr("192.0.2.1"), TTL: 299},
		{Addr: netip.MustParseAddr("192.0.2.2"), TTL: 301},
	}))
	if len(m.Answers) != 2 || m.Answers[0].Header.TTL != 300 || m.Answers[1].Header.TTL != 3600 || m.Answers[0].Header.Name.String() != "Www.Example.COM." {
		t.Errorf("%+v", m.Answers)
	}
	if m := parsed(t, q.Answer(nil)); m.RCode != 0 || len(m.Answers) != 0 || len(m.Questions) != 1 {
		t.Errorf("%+v", m)
	}
	if m := parsed(t, q.Fail(dnsquery.NoSuchName)); m.RCode != dnsmessage.RCodeNameError {
		t.Errorf("%+v", m)
	}
	long := strings.Repeat(strings.Repeat("a", 49)+".", 5)
	if q, _, _ := dnsquery.Parse(question(t, long, dnsmessage.TypeAAAA, in)); q == nil || !q.IPv6 {
		t.Errorf("%+v", q)
	} else {
		var many []cell.Answer
		for range 64 {
			many = append(many, cell.Answer{Addr: netip.MustParseAddr("2001:db8::1")})
		}
		parsed(t, q.Answer(many)) // fits
	}
	q, _, _ = dnsquery.Parse(question(t, "7.2.0.192.in-addr.arpa.", dnsmessage.TypePTR, in))
	if q == nil || q.Reverse != netip.MustParseAddr("192.0.2.7") {
		t.Fatalf("%+v", q)
	}
	if m := parsed(t, q.Answer([]cell.Answer{{Name: "a.b"}})); len(m.Answers) != 1 || m.Answers[0].Body.(*dnsmessage.PTRResource).PTR.String() != "a.b." {
		t.Errorf("%+v", m)
	}
}

func TestRefused(t *testing.T) {
	for what, c := range map[string]struct {
		msg     []byte
		code    dnsmessage.RCode
		refusal error
	}{
		"MX":              {question(t, "a.b.", dnsmessage.TypeMX, dnsmessage.ClassINET), dnsmessage.RCodeNotImplemented, nil},
		"ANY":             {question(t, "a.b.", dnsmessage.TypeALL, dnsmessage.ClassINET), dnsmessage.RCodeNotImplemented, nil},
		"AXFR":            {question(t, "a.b.", 252, dnsmessage.ClassINET), dnsmessage.RCodeNotImplemented, nil},
		"class CH":        {question(t, "a.b.", dnsmessage.TypeA, dnsmessage.ClassCHAOS), dnsmessage.RCodeNotImplemented, nil},
		".exit":           {question(t, "a.exit.", dnsmessage.TypeA, dnsmessage.ClassINET), dnsmessage.RCodeNameError, socks.ErrExit},
		"bad onion":       {question(t, "a.onion.", dnsmessage.TypeA, dnsmessage.ClassINET), dnsmessage.RCodeNameError, socks.ErrOnionAddress},
		"an address":      {question(t, "192.0.2.1.", dnsmessage.TypeA, dnsmessage.ClassINET), dnsmessage.RCodeNameError, socks.ErrHost},
		"root":            {question(t, ".", dnsmessage.TypeA, dnsmessage.ClassINET), dnsmessage.RCodeNameError, socks.ErrHost},
		"PTR of a name":   {question(t, "a.b.", dnsmessage.TypePTR, dnsmessage.ClassINET), dnsmessage.RCodeNameError, nil},
		"no question":     {[]byte("\x00\x07\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"), dnsmessage.RCodeFormatError, nil},
		"broken question": {[]byte("\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x3fa"), dnsmessage.RCodeFormatError, nil},
		"update":          {[]byte("\x00\x07\x29\x00\x00\x00\x00\x00\x00\x00\x00\x00"), dnsmessage.RCodeNotImplemented, nil},
	} {
		q, reply, refusal := dnsquery.Parse(c.msg)
		if q != nil || reply == nil || refusal != c.refusal {
			t.Errorf("%s: %+v, %v", what, q, refusal)
			continue
		}
		if m := parsed(t, reply); m.RCode != c.code || len(m.Answers) != 0 {
			t.Errorf("%s: %v", what, m.RCode)
		}
	}
	two := question(t, "a.b.", dnsmessage.TypeA, dnsmessage.ClassINET)
	two = append(two, two[12:]...)
	two[5] = 2
	if q, reply, refusal := dnsquery.Parse(two); q != nil || refusal != nil || parsed(t, reply).RCode != dnsmessage.RCodeFormatError {
		t.Error("two questions in one")
	}
	answer := question(t, "a.b.", dnsmessage.TypeA, dnsmessage.ClassINET)
	answer[2] |= 0x80
	for _, msg := range [][]byte{nil, []byte("short"), answer, make([]byte, dnsquery.MaxMessage+1)} {
		if q, reply, refusal := dnsquery.Parse(msg); q != nil || reply != nil || refusal != nil {
			t.Errorf("%d bytes: %v, %q", len(msg), q, reply)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(question(f, "a.b.", dnsmessage.TypeA, dnsmessage.ClassINET))
	f.Add(question(f, "7.2.0.192.in-addr.arpa.", dnsmessage.TypePTR, dnsmessage.ClassINET))
	f.Fuzz(func(t *testing.T, msg []byte) {
		q, reply, refusal := dnsquery.Parse(msg)
		if refusal != nil && reply == nil {
			t.Fatalf("%v, and no answer", refusal)
		}
		if q != nil {
			if reply != nil || (q.Host == "") == !q.Reverse.IsValid() {
				t.Fatalf("%+v", q)
			}
			reply = q.Answer([]cell.Answer{{Addr: netip.MustParseAddr("192.0.2.1")}, {Name: "a.b"}})
			if reply == nil {
				t.Fatalf("no answer to %+v", q)
			}
		}
		var m dnsmessage.Message
		if reply != nil && (m.Unpack(reply) != nil || len(reply) > 512 || !m.Response) {
			t.Fatalf("%x", reply)
		}
	})
}
