package fleet

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"chive/messages"
)

func directory(after time.Time) messages.DirectoryCopy {
	return messages.DirectoryCopy{
		ValidAfter: after, Consensus: bytes.Repeat([]byte("consensus "), 40_000), Certs: []byte("certs"), Microdescs: bytes.Repeat([]byte("md "), 70_000),
	}
}

// What one node leaves another finds; older copies do not replace newer ones.
func TestDirectoryIsShared(t *testing.T) {
	s := hub(t)
	one, _ := join(t, dial(t, s), "n1")
	two, _ := join(t, dial(t, s), "n2")
	if c, err := two.FetchDirectory(t.Context()); err == nil {
		t.Fatalf("before anybody left one: %d bytes", len(c.Consensus))
	}
	want := directory(signed)
	one.OfferDirectory(want)
	eventually(t, "the directory", func() error {
		got, err := two.FetchDirectory(t.Context())
		if err == nil && (!bytes.Equal(got.Consensus, want.Consensus) || !bytes.Equal(got.Certs, want.Certs) || !bytes.Equal(got.Microdescs, want.Microdescs)) {
			t.Fatal("another directory than was left")
		}
		return err
	})
	first := func(m *Member, after time.Time, text string) string {
		if err := m.deposit(messages.DirectoryCopy{ValidAfter: after, Consensus: []byte(text)}); err != nil {
			t.Fatal(err)
		}
		got, err := one.FetchDirectory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return string(got.Consensus)
	}
	if got := first(two, signed.Add(-time.Hour), "older"); got == "older" {
		t.Error("an older one has replaced it")
	}
	if got := first(two, signed.Add(2*maxAhead), "future"); got != "future" {
		t.Error("a newer one has not replaced it")
	}
	if got := first(one, signed.Add(time.Minute), "now"); got != "now" {
		t.Error("one that claims to be of the future stays for good")
	}
}

func FuzzUnpack(f *testing.F) {
	good, err := pack(messages.DirectoryCopy{Consensus: []byte("a"), Certs: []byte("b"), Microdescs: []byte("c")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add([]byte(directoryMagic))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := unpack(text)
		if err != nil && !errors.Is(err, errPacked) {
			t.Error(err)
		}
		if len(c.Consensus)+len(c.Certs)+len(c.Microdescs) > maxUnpacked {
			t.Error("more than allowed")
		}
	})
}

func TestUnpackIsStrict(t *testing.T) {
	good, err := pack(directory(signed))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := unpack(good); err != nil || len(c.Consensus) != 400_000 {
		t.Fatalf("%d bytes, %v", len(c.Consensus), err)
	}
	for name, text := range map[string][]byte{
		"nothing": nil, "no magic": good[1:], "cut": good[:len(good)/2], "not compressed": []byte(directoryMagic + "directory"),
	} {
		if c, err := unpack(text); !errors.Is(err, errPacked) || c.Consensus != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
