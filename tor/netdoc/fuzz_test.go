package netdoc_test

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"chive/tor/netdoc"
	"chive/tor/netdoc/netdoctest"
)

func FuzzParseConsensus(f *testing.F) {
	n := netdoctest.New(netdoctest.Options{Relays: 3, Authorities: 1, Params: "a=1 b=-2"})
	certs, err := netdoc.ParseAuthCerts(n.Certs)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(n.Consensus)
	f.Add(vector(f, "consensus-microdesc"))
	f.Add(vector(f, "consensus-ns"))
	signed := bytes.Index(n.Consensus, []byte("\ndirectory-signature ")) + len("\ndirectory-signature ")
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := netdoc.ParseConsensus(text)
		if err != nil {
			return
		}
		if !c.ValidAfter.Before(c.FreshUntil) || !c.FreshUntil.Before(c.ValidUntil) || len(c.Signatures) == 0 {
			t.Errorf("accepted with times %v %v %v, %d signatures", c.ValidAfter, c.FreshUntil, c.ValidUntil, len(c.Signatures))
		}
		for i := 1; i < len(c.Relays); i++ {
			if bytes.Compare(c.Relays[i-1].Identity[:], c.Relays[i].Identity[:]) >= 0 {
				t.Errorf("relays %d and %d are not ascending", i-1, i)
			}
		}
		if _, err := c.Verify(n.V3Idents, certs, n.ValidAfter); err == nil && !bytes.HasPrefix(text, n.Consensus[:signed]) {
			t.Error("a text that nobody signed verified")
		}
	})
}

func FuzzParseAuthCerts(f *testing.F) {
	n := netdoctest.New(netdoctest.Options{Relays: 1, Authorities: 2})
	f.Add(n.Certs)
	f.Add(vector(f, "certs"))
	known := make(map[netdoc.KeyID][]byte)
	for _, text := range [][]byte{n.Certs, vector(f, "certs")} {
		certs, err := netdoc.ParseAuthCerts(text)
		if err != nil {
			f.Fatal(err)
		}
		for _, cert := range certs {
			known[cert.KeyID()] = cert.Raw
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		certs, _ := netdoc.ParseAuthCerts(text)
		for _, cert := range certs {
			// Nobody can sign as these authorities, so a good certificate has one of their texts, but for how its
			// last signature is written down.
			want := known[cert.KeyID()]
			end := bytes.Index(want, []byte("\ndir-key-certification\n"))
			if end < 0 || !bytes.HasPrefix(cert.Raw, want[:end]) {
				t.Errorf("accepted a certificate that nobody made: %v", cert.KeyID())
			}
		}
	})
}

func FuzzParseMicrodescs(f *testing.F) {
	f.Add(vector(f, "microdescs"))
	f.Add([]byte("@last-listed x\nonion-key\n" + ntorLine + "family $" + id1 + " nick\nfamily-ids ed25519:abc\np reject 25\np6 accept 1-65535\n" + edLine))
	f.Fuzz(func(t *testing.T, text []byte) {
		total := 0
		_ = netdoc.ParseMicrodescs(text, func(md *netdoc.Microdesc, raw []byte) {
			total += len(raw)
			if md.Digest != sha256.Sum256(raw) || !bytes.Contains(text, raw) || !bytes.HasPrefix(raw, []byte("onion-key")) {
				t.Errorf("text %q under digest %v", raw, md.Digest)
			}
			alone := 0
			if err := netdoc.ParseMicrodescs(raw, func(*netdoc.Microdesc, []byte) { alone++ }); err != nil || alone != 1 {
				t.Errorf("a good text by itself gives %d microdescriptors, %v", alone, err)
			}
		})
		if total > len(text) {
			t.Errorf("%d bytes of microdescriptors in a text of %d", total, len(text))
		}
	})
}

func FuzzPortPolicy(f *testing.F) {
	for _, s := range []string{"accept 80,443,8000-8080", "reject 1-65535", "reject 25,119,135-139", "accept 1-65535", "accept x,80"} {
		f.Add(s, uint16(443))
	}
	f.Fuzz(func(t *testing.T, s string, port uint16) {
		p, err := netdoc.ParsePortPolicy(s)
		if err != nil {
			return
		}
		again, err := netdoc.ParsePortPolicy(p.String())
		if err != nil || again.String() != p.String() || again.Allows(port) != p.Allows(port) {
			t.Errorf("%q is %q, which is %q, %v", s, p, again, err)
		}
		if p.Allows(0) || (p.Allows(port) && !p.AllowsSome()) {
			t.Errorf("%q allows port 0, or %d and nothing", s, port)
		}
	})
}

func FuzzProtocols(f *testing.F) {
	for _, s := range []string{"Link=3-5 Relay=2", "Cons=1-2,4 Cons=3", "X=0-63", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := netdoc.ParseProtocols(s)
		if err != nil {
			return
		}
		again, err := netdoc.ParseProtocols(p.String())
		if err != nil || again.String() != p.String() || !p.Missing(again).IsEmpty() || !again.Missing(p).IsEmpty() {
			t.Errorf("%q is %q, which is %q, %v", s, p, again, err)
		}
		if missing := p.Missing(netdoc.Protocols{}); missing.String() != p.String() {
			t.Errorf("of %q an empty set lacks %q", p, missing)
		}
	})
}
