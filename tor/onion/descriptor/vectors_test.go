package descriptor

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"chive/tor/onion"
)

func vector(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unhex(t testing.TB, s string) (b [32]byte) {
	t.Helper()
	if n, err := hex.Decode(b[:], []byte(s)); err != nil || n != 32 {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

// Two descriptors that C tor published, one of them for authorised clients, with
// the keys to read them, published by Arti.
type published struct {
	name     string
	blinded  string
	sub      string
	now      time.Time
	revision uint64
}

var open1 = published{
	name:    "hsdesc1",
	blinded: "43cc0d62fc6252f578705ca645a46109e265290343b1137e90189744b20b3f2d",
	sub:     "78210A0D2C72BB7A0CAF606BCD938B9A3696894FDDDBC3B87D424753A7E3DF37",
	now:     time.Date(2023, 1, 23, 15, 0, 0, 0, time.UTC), revision: 19655750,
}

func (p published) open(t testing.TB) *Sealed {
	t.Helper()
	s, err := Open(vector(t, p.name), onion.BlindedKey(unhex(t, p.blinded)), p.now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPublishedDescriptor(t *testing.T) {
	s := open1.open(t)
	if s.Revision != open1.revision || s.Lifetime != 3*time.Hour || !s.CertExpires.Equal(time.Date(2023, 1, 26, 3, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", s)
	}
	d, err := s.Decrypt(onion.Subcredential(unhex(t, open1.sub)), nil, open1.now)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Intros) != 3 || d.Refused != 0 || d.SingleOnion || d.IntroAuth != nil || len(d.Handshakes) != 1 || d.Handshakes[0] != 2 {
		t.Errorf("%+v", d)
	}
	if d.Intros[0].OnionKey != unhex(t, "553BF9F9E1979D6F5D5D7D20BB3FE7272E32E22B6E86E35C76A7CA8A377E402F") {
		t.Errorf("onion key %x", d.Intros[0].OnionKey)
	}
	// An unneeded client key is not used.
	if again, err := s.Decrypt(onion.Subcredential(unhex(t, open1.sub)), &[32]byte{8}, open1.now); err != nil || len(again.Intros) != 3 {
		t.Errorf("with a key: %v", err)
	}
}

// From the address alone: keys of the period, then both layers, the second with
// an authorised client's key.
func TestPublishedForAuthorisedClients(t *testing.T) {
	a, err := onion.ParseAddress("paozpdhgz2okvc6kgbxvh2bnfsmt4xergrtcl4obkhopyvwxkpjzvoad.onion")
	if err != nil || [32]byte(a) != unhex(t, "781D978CE6CE9CAA8BCA306F53E82D2C993E5C91346625F1C151DCFC56D753D3") {
		t.Fatal(err)
	}
	now := time.Date(2023, 2, 9, 12, 0, 0, 0, time.UTC)
	p := onion.Schedule{Voting: time.Hour, Minutes: 1440}.Period(now)
	blinded, err := a.Blind(p)
	if err != nil || p.Number != 19397 || [32]byte(blinded) != unhex(t, "706628758208395D461AA0F460A5E76E7B828C66B5E794768592B451302E961D") {
		t.Fatalf("period %d, blinded key %x, %v", p.Number, blinded, err)
	}
	s, err := Open(vector(t, "hsdesc2"), blinded, now)
	if err != nil {
		t.Fatal(err)
	}
	sub := a.Subcredential(blinded)
	if _, err := s.Decrypt(sub, nil, now); !errors.Is(err, ErrNeedsAuth) {
		t.Errorf("without a key: %v", err)
	}
	if _, err := s.Decrypt(sub, &[32]byte{8}, now); !errors.Is(err, ErrBadAuth) {
		t.Errorf("with another client's key: %v", err)
	}
	key := unhex(t, "90F2D60F917F2423F0989CE9979639435A5B01CF7AB3E0A1B900BEB892BAE443")
	d, err := s.Decrypt(sub, &key, now)
	if err != nil || len(d.Intros) != 3 {
		t.Fatalf("%v", err)
	}
	sub[0] ^= 1
	if _, err := s.Decrypt(sub, &key, now); !errors.Is(err, ErrDecrypt) {
		t.Errorf("with another subcredential: %v", err)
	}
}

// Whatever is not as it was signed, for this key and at this time, is refused.
func TestForgedOuterDocument(t *testing.T) {
	text := string(vector(t, "hsdesc1"))
	blinded := onion.BlindedKey(unhex(t, open1.blinded))
	edit := func(old, new string) []byte { return []byte(strings.Replace(text, old, new, 1)) }
	signature := strings.Index(text, "signature ")
	cert := text[strings.Index(text, "-----BEGIN ED25519"):strings.Index(text, "revision-counter")]
	tests := map[string]struct {
		text []byte
		want error
	}{
		"empty":                     {nil, ErrMalformed},
		"version 2":                 {edit("hs-descriptor 3", "hs-descriptor 2"), ErrMalformed},
		"counter changed":           {edit("19655750", "19655751"), ErrSignature},
		"lifetime changed":          {edit("lifetime 180", "lifetime 181"), ErrSignature},
		"lifetime of a day":         {edit("lifetime 180", "lifetime 1440"), ErrMalformed},
		"no lifetime":               {edit("lifetime 180", "lifetime 0"), ErrMalformed},
		"negative counter":          {edit("19655750", "-1"), ErrMalformed},
		"two counters":              {edit("revision-counter", "revision-counter 1\nrevision-counter"), ErrMalformed},
		"line before the first":     {[]byte("a\n" + text), ErrMalformed},
		"line after the signature":  {[]byte(text + "a\n"), ErrMalformed},
		"unknown line inside":       {edit("revision-counter", "something new\nrevision-counter"), ErrSignature},
		"two signatures":            {[]byte(text + text[signature:]), ErrMalformed},
		"no signature":              {[]byte(text[:signature]), ErrMalformed},
		"signature changed":         {[]byte(text[:signature+10] + "A" + text[signature+11:]), ErrSignature},
		"signature cut":             {[]byte(text[:signature+20] + "\n"), ErrMalformed},
		"certificate left out":      {edit(cert, ""), ErrMalformed},
		"certificate's type":        {edit("AQgABxkr", "AQkABxkr"), ErrMalformed},
		"certificate's date":        {edit("AQgABxkr", "AQgABxks"), ErrSignature},
		"another object":            {edit("BEGIN MESSAGE", "BEGIN LETTER"), ErrMalformed},
		"too large":                 {append([]byte(text), make([]byte, maxAccepted)...), ErrMalformed},
		"C tor's malformed example": {vector(t, "ctor-bad-signature"), ErrMalformed},
	}
	for name, tt := range tests {
		if s, err := Open(tt.text, blinded, open1.now); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v (%v), want %v", name, err, s != nil, tt.want)
		}
	}
	if _, err := Open([]byte(text), onion.BlindedKey{1}, open1.now); !errors.Is(err, ErrSignature) {
		t.Errorf("another service's key: %v", err)
	}
	if _, err := Open([]byte(text), blinded, open1.now.AddDate(0, 0, 4)); !errors.Is(err, ErrSignature) {
		t.Errorf("after the certificate's end: %v", err)
	}
}

// C tor's text of a second layer with a proof of work. Its signing key is not
// known from elsewhere, so it is taken from a certificate.
func TestPublishedProofOfWork(t *testing.T) {
	text := vector(t, "hsdesc-inner-pow-v1")
	s := &Sealed{signing: signingKeyOf(t, text)}
	now := time.Date(2024, 4, 11, 4, 0, 0, 0, time.UTC)
	d, err := s.parseInner(text, now)
	if err != nil {
		t.Fatal(err)
	}
	if d.PoW == nil || d.PoW.Suggested != 614 || d.PoW.Seed != unhex(t, "144e901df0841833a6e8592190849b4412f307d1565f2f137b2a5bc21a31092a") ||
		!d.PoW.Expires.Equal(time.Unix(1712812537, 0)) {
		t.Errorf("proof of work %+v", d.PoW)
	}
	if d.FlowControl == nil || d.FlowControl.SendmeInc != 31 || d.FlowControl.Versions.String() != "FlowCtrl=1-2" {
		t.Errorf("flow control %+v", d.FlowControl)
	}
	if len(d.Intros) == 0 || d.Refused != 0 {
		t.Errorf("%d introduction points, %d refused", len(d.Intros), d.Refused)
	}
	// Later its certificates have expired, and nothing is left to use.
	late, err := s.parseInner(text, now.AddDate(0, 0, 5))
	if err != nil || len(late.Intros) != 0 || late.Refused != len(d.Intros) {
		t.Errorf("later: %d introduction points, %v", len(late.Intros), err)
	}
	line := string(text[bytes.Index(text, []byte("pow-params")):])
	line = line[:strings.IndexByte(line, '\n')+1]
	for name, tt := range map[string]struct {
		with string
		ok   bool
		pow  bool
	}{
		"an unknown scheme too": {"pow-params x-example\npow-params x-example a b\n" + line, true, true},
		"only an unknown one":   {"pow-params x-example\n", true, false},
		"the seed not padded":   {strings.Replace(line, "= ", " ", 1), true, true},
		"twice":                 {line + line, false, false},
		"without arguments":     {"pow-params\n", false, false},
		"short":                 {"pow-params v1 AAAA 1\n", false, false},
	} {
		d, err := s.parseInner(bytes.Replace(text, []byte(line), []byte(tt.with), 1), now)
		if (err == nil) != tt.ok || err == nil && (d.PoW != nil) != tt.pow || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func signingKeyOf(t testing.TB, text []byte) [32]byte {
	t.Helper()
	for _, it := range mustItems(text) {
		if it.Keyword == "auth-key" {
			c, err := parseCert(it.Object, 9)
			if err != nil {
				t.Fatal(err)
			}
			return c.SignedWith
		}
	}
	t.Fatal("no auth-key")
	return [32]byte{}
}

// C tor's vector of one client's line.
func TestClientKeysVector(t *testing.T) {
	var sub onion.Subcredential
	for i := range sub {
		sub[i] = 42
	}
	id, key, err := clientKeys(sub,
		unhex(t, "d023b674d993a5c8446bd2ca97e9961149b3c0e88c7dc14e8777744dd3468d6a"),
		unhex(t, "8c1298fa6050e372f8598f6deca32e27b0ad457741422c2629ebb132cf7fae37"))
	if err != nil || hex.EncodeToString(id[:]) != "ec19b7ff4d2dda13" {
		t.Errorf("client id %x, %v", id, err)
	}
	cookie, err := hex.DecodeString("07d087f1d8c68393721f6e70316d3b29")
	if err != nil {
		t.Fatal(err)
	}
	ctr(key, [16]byte(bytes.Repeat([]byte{1}, 16)), cookie)
	if hex.EncodeToString(cookie) != "b21222be13f385f355bd07b2381f9f29" {
		t.Errorf("encrypted cookie %x", cookie)
	}
}

// The Ed25519 form of a curve25519 key, against the published descriptor's own
// certificates of its encryption keys.
func TestEdwardsFormVector(t *testing.T) {
	checked := 0
	for _, name := range []string{"hsdesc-inner", "hsdesc-inner-pow-v1"} {
		_, intros := sections(mustItems(vector(t, name)))
		for _, section := range intros {
			var key [32]byte
			if !document(section).ntorKey("enc-key", &key) {
				t.Fatal("no encryption key")
			}
			object, err := document(section).object("enc-key-cert", certType)
			if err != nil {
				t.Fatal(err)
			}
			c, err := parseCert(object, 11)
			if err != nil {
				t.Fatal(err)
			}
			if got := edwards(key); got != c.Key {
				t.Errorf("%x, C tor certified %x", got, c.Key)
			}
			checked++
		}
	}
	if checked < 6 {
		t.Errorf("only %d keys checked", checked)
	}
}
