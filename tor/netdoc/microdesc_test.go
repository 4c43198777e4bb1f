package netdoc_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"

	"chive/tor/netdoc"
	"chive/tor/netdoc/netdoctest"
)

const (
	ntorLine = "ntor-onion-key n9+6+BVU2Mo4mVGnBB4MbA9FJch9eCY4n/Swixo+zS4\n"
	edLine   = "id ed25519 DvdwIovwJCblLr6NMKVJzRRaAoi5Er6XTyMoVOuQr9Q\n"
	tapKey   = "-----BEGIN RSA PUBLIC KEY-----\nMIGJAoGB\n-----END RSA PUBLIC KEY-----\n"
	id1      = "65FF5D4FDEC55176B63867D33398154AAF8F0A16"
	id2      = "8BB8130F3AEC8F54F46FCAF4BE29C5DE7975BE7C"
)

func parseMDs(text string) (mds []*netdoc.Microdesc, raws []string, err error) {
	err = netdoc.ParseMicrodescs([]byte(text), func(md *netdoc.Microdesc, raw []byte) {
		mds, raws = append(mds, md), append(raws, string(raw))
	})
	return mds, raws, err
}

// dir-spec 3.3, and the newer consensus methods.
func TestMicrodescForms(t *testing.T) {
	key := [32]byte{0x9f, 0xdf, 0xba, 0xf8}
	for _, tc := range []struct {
		name, text string
		check      func(md *netdoc.Microdesc) bool
	}{
		{"with a TAP key, before method 36", "onion-key\n" + tapKey + ntorLine + edLine, nil},
		{"without one, method 36", "onion-key\n" + ntorLine + edLine, nil},
		{"padded keys, before method 30", "onion-key\n" + strings.TrimSuffix(ntorLine, "\n") + "=\n" + strings.TrimSuffix(edLine, "\n") + "=\n", nil},
		{"extra arguments", "onion-key\n" + strings.TrimSuffix(ntorLine, "\n") + " x\n" + strings.TrimSuffix(edLine, "\n") + " y z\n", nil},
		{"no Ed25519 identity", "onion-key\n" + ntorLine, func(md *netdoc.Microdesc) bool { return md.Ed25519.IsZero() }},
		{"ids of other types", "onion-key\n" + ntorLine + "id rsa1024 abc\nid explodo\n" + edLine, func(md *netdoc.Microdesc) bool { return !md.Ed25519.IsZero() }},
		{"a and pr, as some methods wrote them", "onion-key\n" + ntorLine + "a [2001:db8::1]:9001\na 1.2.3.4:5\npr Link=4\n" + edLine, nil},
		{"unknown items with objects", "onion-key\n" + ntorLine + "x-new 1\n-----BEGIN X-----\nAAAA\n-----END X-----\n" + edLine, nil},
		{"a last line without newline", "onion-key\n" + strings.TrimSuffix(ntorLine, "\n"), nil},
		{"policies", "onion-key\n" + ntorLine + "p accept 80,443\np6 reject 25\n", func(md *netdoc.Microdesc) bool {
			return md.Policy4.Allows(80) && !md.Policy4.Allows(25) && md.Policy6.Allows(80) && !md.Policy6.Allows(25)
		}},
		{"no policies reject everything", "onion-key\n" + ntorLine, func(md *netdoc.Microdesc) bool {
			return !md.Policy4.AllowsSome() && !md.Policy6.AllowsSome()
		}},
		{"an unreadable policy rejects everything", "onion-key\n" + ntorLine + "p accept whatever\np6 accept 80\n", func(md *netdoc.Microdesc) bool {
			return !md.Policy4.AllowsSome() && md.Policy6.Allows(80)
		}},
		{"family", "onion-key\n" + ntorLine + "family $" + id2 + "=name $" + strings.ToLower(id1) + "~x $" + id1 + " NickName $123 !odd! $\n", func(md *netdoc.Microdesc) bool {
			f := md.Family
			return len(f.IDs) == 2 && f.IDs[0].String() == id1 && f.Contains(f.IDs[1], "") && f.Contains(netdoc.Digest{}, "nickNAME") &&
				!f.Contains(netdoc.Digest{}, "name") && !f.Contains(netdoc.Digest{1}, "x") && slices.Equal(f.Nicknames, []string{"nickname"})
		}},
		{"a family of nobody", "onion-key\n" + ntorLine + "family $123\n", func(md *netdoc.Microdesc) bool {
			return md.Family == nil && !md.Family.Contains(netdoc.Digest{}, "")
		}},
		{"family-ids, method 35", "onion-key\n" + ntorLine + "family-ids ed25519:zeCo43yw3C0HsxgjEugvE9WafoEHERCa3gi1eMbFENU new:thing\n", func(md *netdoc.Microdesc) bool {
			return slices.Equal(md.FamilyIDs, []string{"ed25519:zeCo43yw3C0HsxgjEugvE9WafoEHERCa3gi1eMbFENU", "new:thing"})
		}},
		{"empty family-ids", "onion-key\n" + ntorLine + "family-ids\n", func(md *netdoc.Microdesc) bool { return md.FamilyIDs == nil }},
	} {
		mds, raws, err := parseMDs(tc.text)
		if err != nil || len(mds) != 1 {
			t.Errorf("%s: %d microdescriptors, error %v", tc.name, len(mds), err)
			continue
		}
		md := mds[0]
		if raws[0] != tc.text || md.Digest != sha256.Sum256([]byte(tc.text)) || !bytes.Equal(md.NtorKey[:4], key[:4]) {
			t.Errorf("%s: text %q, digest %v, key %x", tc.name, raws[0], md.Digest, md.NtorKey)
		}
		if tc.check != nil && !tc.check(md) {
			t.Errorf("%s: wrong result %+v", tc.name, md)
		}
	}
}

func TestMicrodescRefuses(t *testing.T) {
	for _, tc := range []struct{ name, text string }{
		{"no onion-key line", ntorLine + edLine},
		{"no ntor-onion-key", "onion-key\n" + edLine},
		{"ntor-onion-key twice", "onion-key\n" + ntorLine + ntorLine},
		{"a short ntor-onion-key", "onion-key\nntor-onion-key AAAA\n"},
		{"an empty ntor-onion-key", "onion-key\nntor-onion-key\n"},
		{"Ed25519 identity twice", "onion-key\n" + ntorLine + edLine + edLine},
		{"a bad Ed25519 identity", "onion-key\n" + ntorLine + "id ed25519 !\n"},
		{"family twice", "onion-key\n" + ntorLine + "family a\nfamily b\n"},
		{"family-ids twice", "onion-key\n" + ntorLine + "family-ids a\nfamily-ids b\n"},
		{"p twice", "onion-key\n" + ntorLine + "p accept 80\np accept 81\n"},
		{"p6 twice", "onion-key\n" + ntorLine + "p6 accept 80\np6 accept 81\n"},
		{"too large a family", "onion-key\n" + ntorLine + "family" + strings.Repeat(" abc", 4097) + "\n"},
		{"too many family ids", "onion-key\n" + ntorLine + "family-ids" + strings.Repeat(" abc", 4097) + "\n"},
		{"a key object cut short", "onion-key\n-----BEGIN RSA PUBLIC KEY-----\nMIGJAoGB\n"},
		{"a line that is no item", "onion-key\n" + ntorLine + "???\n"},
	} {
		mds, _, err := parseMDs(tc.text)
		var me *netdoc.MicrodescError
		if len(mds) != 0 || !errors.As(err, &me) || me.Digest != sha256.Sum256([]byte(tc.text)) {
			t.Errorf("%s: %d microdescriptors, error %v", tc.name, len(mds), err)
		}
	}
	for _, text := range []string{"onion-key\n\x00", strings.Repeat("\n", netdoc.MaxMicrodescsSize+1), "@" + strings.Repeat("x", 200<<10) + "\n"} {
		if mds, _, err := parseMDs(text); len(mds) != 0 || err == nil {
			t.Errorf("%d bytes: %d microdescriptors, error %v", len(text), len(mds), err)
		}
	}
	if mds, _, err := parseMDs(""); len(mds) != 0 || err != nil {
		t.Errorf("nothing: %d microdescriptors, error %v", len(mds), err)
	}
}

// One bad microdescriptor costs only itself, and is reported by the digest of its own text: a hostile cache can
// spoil no other relay's (TROVE-2026-034).
func TestBadMicrodescAmongGood(t *testing.T) {
	a := "onion-key\n" + tapKey + ntorLine + "p accept 1\n"
	bad := "onion-key\n" + edLine
	c := "onion-key\n" + ntorLine + "p accept 2\n"
	mds, raws, err := parseMDs("@last-listed 2026-11-24 00:26:23\n" + a + bad + "\n@last-listed x\n@y\n" + c)
	if len(mds) != 2 || raws[0] != a || raws[1] != c {
		t.Fatalf("%d microdescriptors: %q", len(mds), raws)
	}
	var me *netdoc.MicrodescError
	if !errors.As(err, &me) || me.Digest != sha256.Sum256([]byte(bad+"\n")) || !errors.Is(err, netdoc.ErrMalformed) {
		t.Errorf("error %v", err)
	}
	_, _, err = parseMDs(strings.Repeat(bad, 1000))
	if n := strings.Count(err.Error(), "microdescriptor starts") + strings.Count(err.Error(), "without ntor-onion-key"); n == 0 || n > 200 {
		t.Errorf("a thousand bad ones gave %d reports", n)
	}
}

func TestMicrodescReader(t *testing.T) {
	n := netdoctest.New(netdoctest.Options{Relays: 40, Relay: func(i int, r *netdoctest.Relay) {
		r.Family, r.FamilyIDs = "$"+id1+" $"+id2, "ed25519:abc"
	}})
	c := mustConsensus(t, n.Consensus)
	wanted := make(map[netdoc.MDDigest]bool)
	for i := range c.Relays[:20] {
		wanted[c.Relays[i].MD] = true
	}
	reader := netdoc.MicrodescReader{Want: func(d netdoc.MDDigest) bool { return wanted[d] }}
	var got []*netdoc.Microdesc
	keep := func(md *netdoc.Microdesc, _ []byte) { got = append(got, md) }
	half := len(n.Microdescs) / 2
	half = indexAfter(t, n.Microdescs[half:], "\nonion-key\n") - len("onion-key\n") + half
	unwanted := "onion-key\nntor-onion-key bad\n"
	for _, answer := range []string{string(n.Microdescs[:half]) + unwanted, string(n.Microdescs[half:])} {
		if err := reader.Read([]byte(answer), keep); err != nil {
			t.Fatalf("an answer with a bad text nobody asked for: %v", err)
		}
	}
	if len(got) != 20 {
		t.Fatalf("%d microdescriptors, want the 20 wanted", len(got))
	}
	for _, md := range got {
		if !wanted[md.Digest] || md.Family != got[0].Family || &md.FamilyIDs[0] != &got[0].FamilyIDs[0] {
			t.Errorf("%v: not wanted, or shares nothing", md.Digest)
		}
	}
}

// Every microdescriptor of a made network must come out as it went in, at the digest the consensus names.
func TestMicrodescsOfNetwork(t *testing.T) {
	n := netdoctest.New(netdoctest.Options{Relays: 30})
	byDigest := make(map[netdoc.MDDigest]*netdoc.Microdesc)
	text := slices.Clone(n.Microdescs)
	if err := netdoc.ParseMicrodescs(text, func(md *netdoc.Microdesc, _ []byte) { byDigest[md.Digest] = md }); err != nil {
		t.Fatal(err)
	}
	clear(text) // what was parsed must not alias it
	for _, r := range n.Relays {
		md := byDigest[r.MD]
		if md == nil || md.NtorKey != r.NtorPublic() || md.Ed25519 != r.EdPublic() {
			t.Errorf("relay %s: %+v", r.Nickname, md)
			continue
		}
		if want := r.Flags.Has(netdoc.FlagExit); md.Policy4.Allows(443) != want || md.Policy6.Allows(443) != (r.Policy6 != "") {
			t.Errorf("relay %s: policies %v, %v", r.Nickname, md.Policy4, md.Policy6)
		}
	}
}
