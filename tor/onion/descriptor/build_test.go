package descriptor

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"chive/tor/cell"
	"chive/tor/netdoc"
	"chive/tor/onion"
	"chive/tor/onion/pow"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func mustItems(text []byte) []netdoc.Item {
	items, err := netdoc.Items("test", text, maxAccepted, maxItems)
	if err != nil {
		panic(err)
	}
	return items
}

type fataler interface {
	Helper()
	Fatal(args ...any)
}

func random32(rng *rand.ChaCha8) (b [32]byte) {
	_, _ = rng.Read(b[:])
	return b
}

func newSigner(t fataler, rng *rand.ChaCha8) (*Signer, *onion.SecretKey) {
	t.Helper()
	identity := onion.SecretKeyOfSeed(random32(rng))
	blinded := identity.Blind(onion.Period{Number: 20000, Minutes: 1440})
	seed := random32(rng)
	signing := ed25519.NewKeyFromSeed(seed[:])
	return &Signer{
		Blinded:       onion.BlindedKey(blinded.PublicKey()),
		Subcredential: identity.Address().Subcredential(onion.BlindedKey(blinded.PublicKey())),
		SigningKey:    signing,
		SigningCert:   CertifySigningKey(blinded, signing.Public().(ed25519.PublicKey), now.Add(CertLifetime)),
		Revision:      42, Lifetime: DefaultLifetime, CertExpires: now.Add(CertLifetime),
	}, blinded
}

func x25519Pair(t fataler, rng *rand.ChaCha8) (private, public [32]byte) {
	t.Helper()
	private = random32(rng)
	key, err := ecdh.X25519().NewPrivateKey(private[:])
	if err != nil {
		t.Fatal(err)
	}
	return private, [32]byte(key.PublicKey().Bytes())
}

func newIntro(t fataler, rng *rand.ChaCha8) IntroPoint {
	t.Helper()
	_, ntor := x25519Pair(t, rng)
	_, enc := x25519Pair(t, rng)
	id := random32(rng)
	return IntroPoint{
		Specs: []cell.LinkSpec{
			{Type: cell.LinkSpecIPv4, Body: []byte{20, 1, 2, 3, 0x23, 0x29}},
			{Type: cell.LinkSpecRSA, Body: id[:20]},
			cell.Ed25519Spec(random32(rng)),
			{Type: 200, Body: []byte("kept as it is")},
		},
		OnionKey: ntor, EncKey: enc, AuthKey: onion.SecretKeyOfSeed(random32(rng)).PublicKey(),
	}
}

func protocols(t fataler, s string) netdoc.Protocols {
	t.Helper()
	p, err := netdoc.ParseProtocols(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func drawDescriptor(t *rapid.T, rng *rand.ChaCha8) *Descriptor {
	d := &Descriptor{Handshakes: []uint16{2}, SingleOnion: rapid.Bool().Draw(t, "single")}
	if rapid.Bool().Draw(t, "more handshakes") {
		d.Handshakes = []uint16{3, 2}
	}
	if rapid.Bool().Draw(t, "flow control") {
		d.FlowControl = &FlowControl{Versions: protocols(t, "FlowCtrl=1-2"), SendmeInc: rapid.Uint8Range(1, 255).Draw(t, "inc")}
	}
	if rapid.Bool().Draw(t, "proto") {
		d.Protocols = protocols(t, "Relay=5-6")
	}
	if rapid.Bool().Draw(t, "introduction authentication") {
		d.IntroAuth = []string{"ed25519", "other"}
	}
	if rapid.Bool().Draw(t, "proof of work") {
		d.PoW = &pow.Params{Seed: pow.Seed(random32(rng)), Suggested: rapid.Uint32().Draw(t, "effort"), Expires: now.Add(time.Hour)}
	}
	for range rapid.SampledFrom([]int{0, 1, 3, 3, 5, MaxIntroPoints}).Draw(t, "introduction points") {
		d.Intros = append(d.Intros, newIntro(t, rng))
	}
	return d
}

// What is built reads back as it was, by exactly those who may.
func TestBuildAndRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.NewChaCha8([32]byte{byte(rapid.IntRange(0, 255).Draw(t, "seed"))})
		s, _ := newSigner(t, rng)
		s.Revision = rapid.Uint64().Draw(t, "revision")
		s.Lifetime = time.Duration(rapid.IntRange(1, 720).Draw(t, "minutes")) * time.Minute
		clients := make([][32]byte, rapid.SampledFrom([]int{0, 0, 1, 2, 16, 17}).Draw(t, "clients"))
		for i := range clients {
			var public [32]byte
			clients[i], public = x25519Pair(t, rng)
			s.Clients = append(s.Clients, public)
		}
		d := drawDescriptor(t, rng)
		text, err := s.Build(rng, d)
		if errors.Is(err, ErrTooLarge) && len(d.Intros) > 10 {
			t.Skip("too large")
		}
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := Open(text, s.Blinded, now)
		if err != nil || sealed.Revision != s.Revision || sealed.Lifetime != s.Lifetime {
			t.Fatalf("%v", err)
		}
		read := func(client *[32]byte) (*Descriptor, error) { return sealed.Decrypt(s.Subcredential, client, now) }
		stranger, _ := x25519Pair(t, rng)
		if len(clients) == 0 {
			clients = append(clients, stranger)
			if got, err := read(nil); err != nil || cmp.Diff(d, got, protocolsEqual) != "" {
				t.Fatalf("%v\n%s", err, cmp.Diff(d, got, protocolsEqual))
			}
		} else {
			if _, err := read(nil); !errors.Is(err, ErrNeedsAuth) {
				t.Fatalf("without a key: %v", err)
			}
			if _, err := read(&stranger); !errors.Is(err, ErrBadAuth) {
				t.Fatalf("with a stranger's key: %v", err)
			}
		}
		key := rapid.SampledFrom(clients).Draw(t, "reader")
		if got, err := read(&key); err != nil || cmp.Diff(d, got, protocolsEqual) != "" {
			t.Fatalf("%v\n%s", err, cmp.Diff(d, got, protocolsEqual))
		}
	})
}

var protocolsEqual = cmp.Comparer(func(a, b netdoc.Protocols) bool { return a.String() == b.String() })

// What a directory sees tells neither whether discovery is restricted nor to how
// many, up to the next multiple of sixteen: "hiding client authorization data"
// (section 2.5.1.4), and lengths are multiples of 10000 bytes.
func TestLengthTellsLittle(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{1})
	s, _ := newSigner(t, rng)
	d := &Descriptor{Handshakes: []uint16{2}, Intros: []IntroPoint{newIntro(t, rng), newIntro(t, rng), newIntro(t, rng)}}
	lengths := make(map[int]bool)
	for n := range 17 {
		for len(s.Clients) < n {
			_, public := x25519Pair(t, rng)
			s.Clients = append(s.Clients, public)
		}
		text, err := s.Build(rng, d)
		if err != nil {
			t.Fatal(err)
		}
		lengths[len(text)] = true
		sealed, err := Open(text, s.Blinded, now)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(sealed.sealed) - saltLen - macLen; n%padMultiple != 0 || n == 0 {
			t.Errorf("%d bytes of first layer", n)
		}
		l := layer{constant: middleConstant, blinded: s.Blinded, subcredential: s.Subcredential, revision: s.Revision}
		plain, ok := l.open(sealed.sealed)
		if !ok {
			t.Fatal("the first layer does not open")
		}
		m, err := parseMiddle(mustItems(plain))
		if err != nil || len(m.clients) != max(16, (n+15)/16*16) {
			t.Errorf("%d clients: %d lines, %v", n, len(m.clients), err)
		}
		if bytes.HasSuffix(plain, []byte("\n")) {
			t.Error("the first layer ends with a newline, C tor's does not")
		}
	}
	if len(lengths) != 1 {
		t.Errorf("lengths %v", lengths)
	}
}

// A text already of a multiple's length takes no more padding.
func TestSealedTextsDiffer(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{2})
	s, _ := newSigner(t, rng)
	d := &Descriptor{Handshakes: []uint16{2}}
	a, err := s.Build(rng, d)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Build(rng, d)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(a, b) || len(a) != len(b) {
		t.Error("the same descriptor built twice is the same text, or of another length")
	}
}

func TestBuildRefuses(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{3})
	intro := newIntro(t, rng)
	with := func(change func(*IntroPoint)) *Descriptor {
		ip := intro
		change(&ip)
		return &Descriptor{Handshakes: []uint16{2}, Intros: []IntroPoint{ip}}
	}
	tests := map[string]struct {
		d      *Descriptor
		change func(*Signer)
		want   error
	}{
		"too many introduction points": {&Descriptor{Intros: make([]IntroPoint, MaxIntroPoints+1)}, nil, ErrTooLarge},
		"zero encryption key":          {with(func(ip *IntroPoint) { ip.EncKey = [32]byte{} }), nil, errIntro},
		"low-order onion key":          {with(func(ip *IntroPoint) { ip.OnionKey = [32]byte{1} }), nil, errIntro},
		"zero authentication key":      {with(func(ip *IntroPoint) { ip.AuthKey = [32]byte{} }), nil, errIntro},
		"bad link specifier":           {with(func(ip *IntroPoint) { ip.Specs = []cell.LinkSpec{{Type: 0}} }), nil, cell.ErrMalformed},
		"no lifetime":                  {with(func(*IntroPoint) {}), func(s *Signer) { s.Lifetime = 0 }, nil},
		"lifetime of a day":            {with(func(*IntroPoint) {}), func(s *Signer) { s.Lifetime = 24 * time.Hour }, nil},
		"zero client key":              {with(func(*IntroPoint) {}), func(s *Signer) { s.Clients = [][32]byte{{}} }, nil},
		"too many clients":             {with(func(*IntroPoint) {}), func(s *Signer) { s.Clients = slicesRepeat(intro.EncKey, 600) }, ErrTooLarge},
	}
	for name, tt := range tests {
		s, _ := newSigner(t, rng)
		if tt.change != nil {
			tt.change(s)
		}
		if text, err := s.Build(rng, tt.d); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, %d bytes", name, err, len(text))
		}
	}
	s, _ := newSigner(t, rng)
	for n := 0; n < 2000; n += 40 { // whatever the randomness lacks, nothing is built
		if _, err := s.Build(bytes.NewReader(make([]byte, n)), with(func(*IntroPoint) {})); err == nil {
			if n < 16*(8+16+16)+32+2*saltLen {
				t.Errorf("built with %d random bytes", n)
			}
			break
		}
	}
}

func slicesRepeat(key [32]byte, n int) [][32]byte {
	keys := make([][32]byte, n)
	for i := range keys {
		keys[i] = key
	}
	return keys
}

// One introduction point that breaks the rules costs itself only.
func TestUnusableIntroPointsAreLeftOut(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{4})
	s, _ := newSigner(t, rng)
	other, _ := newSigner(t, rng)
	sealed := &Sealed{Blinded: s.Blinded, signing: [32]byte(s.SigningKey.Public().(ed25519.PublicKey))}
	good, victim := newIntro(t, rng), newIntro(t, rng)
	text := func(signer *Signer, ips ...IntroPoint) string {
		inner, err := signer.inner(&Descriptor{Handshakes: []uint16{2}, Intros: ips})
		if err != nil {
			t.Fatal(err)
		}
		return string(inner)
	}
	base := text(s, good)
	section := strings.TrimPrefix(text(s, victim), "create2-formats 2\n")
	foreign := strings.TrimPrefix(text(other, victim), "create2-formats 2\n")
	expired := *s
	expired.CertExpires = now.Add(-time.Hour)
	stale := strings.TrimPrefix(text(&expired, victim), "create2-formats 2\n")
	edit := func(old, new string) string { return strings.Replace(section, old, new, 1) }
	zero := b64(make([]byte, 32))
	specs, err := cell.AppendLinkSpecs(nil, victim.Specs)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"certificates of another key": foreign,
		"expired certificates":        stale,
		"zero onion key":              edit("onion-key ntor "+b64(victim.OnionKey[:]), "onion-key ntor "+zero),
		"zero encryption key":         edit("enc-key ntor "+b64(victim.EncKey[:]), "enc-key ntor "+zero),
		"two onion keys":              edit("onion-key ", "onion-key ntor "+b64(good.OnionKey[:])+"\nonion-key "),
		"unknown kind of key only":    edit("onion-key ntor", "onion-key kyber"),
		"no link specifiers":          edit(b64(specs), "AA=="),
		"link specifiers cut":         edit(b64(specs), b64(specs[:20])),
		"bytes after the specifiers":  edit(b64(specs), b64(append(bytes.Clone(specs), 0))),
		"no auth-key":                 edit("auth-key", "auth-kei"),
		"no cross certificate":        edit("enc-key-cert", "enc-key-sert"),
		"no specifiers at all":        edit(" "+b64(specs), ""),
	} {
		d, err := sealed.parseInner([]byte(base+bad), now)
		if err != nil || d.Refused != 1 || len(d.Intros) != 1 || d.Intros[0].AuthKey != good.AuthKey {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
	// New kinds of keys and lines beside the known ones do no harm.
	extra := edit("onion-key ntor", "onion-key kyber abc\nonion-key ntor")
	extra = strings.Replace(extra, "enc-key ntor", "something new\nenc-key kyber abc\nenc-key ntor", 1)
	if d, err := sealed.parseInner([]byte(base+extra), now); err != nil || len(d.Intros) != 2 {
		t.Errorf("unknown lines: %+v, %v", d, err)
	}
}

func TestMalformedInnerDocument(t *testing.T) {
	s := new(Sealed)
	for name, text := range map[string]string{
		"empty":                    "",
		"no handshakes":            "create2-formats\n",
		"without ntor":             "create2-formats 3\n",
		"begins with something":    "a\ncreate2-formats 2\n",
		"begins with a point":      "introduction-point AA==\n",
		"two lists":                "create2-formats 2\ncreate2-formats 2\n",
		"two single-onion-service": "create2-formats 2\nsingle-onion-service\nsingle-onion-service\n",
		"flow control of one":      "create2-formats 2\nflow-control 1-2\n",
		"flow control of zero":     "create2-formats 2\nflow-control 1-2 0\n",
		"flow control of text":     "create2-formats 2\nflow-control a 31\n",
		"too many points":          "create2-formats 2\n" + strings.Repeat("introduction-point AA==\n", MaxIntroPoints+1),
	} {
		if d, err := s.parseInner([]byte(text), now); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
	d, err := s.parseInner([]byte("create2-formats 2 99999 x 3\nnew line\n"), now)
	if err != nil || len(d.Handshakes) != 2 || len(d.Intros) != 0 {
		t.Errorf("%+v, %v", d, err)
	}
}

func FuzzOpen(f *testing.F) {
	text := vector(f, "hsdesc1")
	f.Add(text)
	f.Add(vector(f, "ctor-bad-signature"))
	blinded := onion.BlindedKey(unhex(f, open1.blinded))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Open(b, blinded, open1.now)
		if err != nil {
			return
		}
		if s.Revision != open1.revision || s.Lifetime != 3*time.Hour {
			t.Error("a text that nobody signed was taken")
		}
	})
}

func FuzzMiddle(f *testing.F) {
	l := layer{
		constant: middleConstant, blinded: onion.BlindedKey(unhex(f, open1.blinded)),
		subcredential: onion.Subcredential(unhex(f, open1.sub)), revision: open1.revision,
	}
	text, ok := l.open(open1.open(f).sealed)
	if !ok {
		f.Fatal("does not open")
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, b []byte) {
		items, err := netdoc.Items("fuzz", b, maxAccepted, maxItems)
		if err != nil {
			return
		}
		m, err := parseMiddle(items)
		if err != nil {
			return
		}
		if len(m.sealed) == 0 {
			t.Error("nothing sealed")
		}
		m.cookie(onion.Subcredential{}, [32]byte{8})
	})
}

func FuzzInner(f *testing.F) {
	for _, name := range []string{"hsdesc-inner", "hsdesc-inner-pow-v1", "hsdesc-inner-pow-empty"} {
		f.Add(vector(f, name))
	}
	s := &Sealed{signing: signingKeyOf(f, vector(f, "hsdesc-inner-pow-v1"))}
	when := time.Date(2024, 4, 11, 4, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := s.parseInner(b, when)
		if err != nil {
			return
		}
		if len(d.Intros)+d.Refused > MaxIntroPoints {
			t.Errorf("%d introduction points", len(d.Intros))
		}
		for _, ip := range d.Intros {
			if !usablePoint(ip.EncKey) || !usablePoint(ip.OnionKey) || !onion.ValidKey(ip.AuthKey) || len(ip.Specs) < 2 {
				t.Error("an unusable introduction point was taken")
			}
		}
	})
}
