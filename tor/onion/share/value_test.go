package share

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"filippo.io/edwards25519"

	"chive/tor/onion/descriptor"
	"chive/tor/onion/host"
	"chive/tor/onion/relaymsg"
)

func secretOf(seed string) func(string, int) []byte {
	return func(label string, n int) []byte {
		sum := sha256.Sum256([]byte(seed + label))
		return sum[:n]
	}
}

func goodPoint(n byte) host.ForeignPoint {
	s, err := edwards25519.NewScalar().SetUniformBytes(bytes.Repeat([]byte{n + 1}, 64))
	if err != nil {
		panic(err)
	}
	point := new(edwards25519.Point).ScalarBaseMult(s)
	return host.ForeignPoint{
		Relay: relaymsg.Point{
			RSA: [20]byte{n, 1}, Ed25519: [32]byte{n, 2}, IPv4: netip.MustParseAddrPort("198.51.1.1:443"),
			OnionKey: [32]byte(bytes.Repeat([]byte{n + 3}, 32)),
		},
		AuthKey: [32]byte(point.Bytes()), EncKey: [32]byte(bytes.Repeat([]byte{n + 90}, 32)),
	}
}

func member(points int) *Member {
	m := &Member{Node: "n1", Instance: Instance{1, 2}, Sequence: 7, Used: 12345, Stored: 12344, Time: epoch}
	for i := range points {
		m.Points = append(m.Points, goodPoint(byte(i)))
	}
	return m
}

func TestSealed(t *testing.T) {
	rand := bytes.NewReader(bytes.Repeat([]byte{7}, 1000))
	k, other := NewKeys(secretOf("one")), NewKeys(secretOf("two"))
	tag := k.Tag("f")
	lease := Lease{Epoch: 3, Sequence: 4, Holder: "n1", Instance: Instance{5}, Ceiling: 99, Time: epoch, Heir: Heir{"n2", Instance{6}, 77}}
	sealed, err := k.SealLease(rand, "f", tag, &lease)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.OpenLease("f", tag, sealed, epoch.Add(2*time.Hour)); err != nil || got != lease {
		t.Errorf("%+v, %v", got, err)
	}
	for _, n := range []int{0, 3, descriptor.MaxIntroPoints} {
		m := member(n)
		b, err := k.SealMember(rand, "f", tag, m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.OpenMember("f", tag, "n1", b, epoch); err != nil || !reflect.DeepEqual(&got, m) {
			t.Errorf("%d points: %+v, %v", n, got, err)
		}
		if len(b)%padTo != 1+24+16 {
			t.Errorf("%d points are told by %d bytes", n, len(b))
		}
		if _, err := k.OpenMember("f", tag, "n2", b, epoch); !errors.Is(err, ErrSealed) {
			t.Errorf("another node's entry: %v", err)
		}
		if _, err := k.OpenLease("f", tag, b, epoch); !errors.Is(err, ErrSealed) {
			t.Errorf("a member's entry as the lease: %v", err)
		}
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)-20] ^= 1
	for name, err := range map[string]error{
		"another key":   second(other.OpenLease("f", tag, sealed, epoch)),
		"another fleet": second(k.OpenLease("g", tag, sealed, epoch)),
		"changed":       second(k.OpenLease("f", tag, changed, epoch)),
		"cut":           second(k.OpenLease("f", tag, sealed[:30], epoch)),
		"empty":         second(k.OpenLease("f", tag, nil, epoch)),
	} {
		if !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, form := range []byte{0, sealForm - 1, sealForm + 1, 255} {
		if _, err := k.OpenLease("f", tag, append([]byte{form}, sealed[1:]...), epoch); !errors.Is(err, ErrForm) {
			t.Errorf("of form %d: %v", form, err)
		}
	}
	for _, at := range []time.Time{epoch.Add(MaxAge + time.Second), epoch.Add(-MaxAge - time.Second)} {
		if _, err := k.OpenLease("f", tag, sealed, at); !errors.Is(err, ErrAge) {
			t.Errorf("of another time: %v", err)
		}
	}
	if other.Tag("f") == tag || k.Tag("g") == tag || len(tag) != 32 || strings.Trim(tag, "0123456789abcdef") != "" {
		t.Errorf("names: %q", tag)
	}
	if text := fmt.Sprintf("%v %+v %x %#v", k, k, k, k); strings.Count(text, "[redacted]") != 4 {
		t.Errorf("printed: %s", text)
	}
}

func second[T any](_ T, err error) error { return err }

func TestRefusedValues(t *testing.T) {
	good, err := member(2).append(nil)
	if err != nil {
		t.Fatal(err)
	}
	lease := (&Lease{Epoch: 1, Sequence: 1, Holder: "n1", Time: epoch}).append(nil)
	for name, b := range map[string][]byte{
		"nothing": nil, "a lease": lease, "cut": good[:len(good)-1], "more": append(bytes.Clone(good), 0),
		"no name": appendHead(nil, kindMember, "", Instance{}, 0, 0, 0, 0), "a long name": append([]byte{kindMember, MaxName + 1}, make([]byte, 200)...),
		"no point": append(appendHead(nil, kindMember, "n", Instance{}, 0, 0, 0), 1, 0),
		"21":       append(appendHead(nil, kindMember, "n", Instance{}, 0, 0, 0), 21),
	} {
		if _, err := parseMember(b); !errors.Is(err, ErrValue) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, l := range map[string]Lease{
		"no holder": {Epoch: 1}, "no epoch": {Holder: "n"}, "no room": {Holder: "n", Epoch: maxEpoch + 1}, "no end": {Holder: "n", Epoch: 1, Ceiling: maxTime + 1},
	} {
		if _, err := parseLease(l.append(nil)); !errors.Is(err, ErrValue) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := member(descriptor.MaxIntroPoints + 1).append(nil); !errors.Is(err, ErrValue) {
		t.Errorf("too many points: %v", err)
	}
	bad := member(1)
	bad.Points[0] = host.ForeignPoint{}
	if _, err := bad.append(nil); !errors.Is(err, ErrValue) {
		t.Errorf("a point that is none: %v", err)
	}
}

func TestKeysOfNodes(t *testing.T) {
	for key, want := range map[string]string{"t.node.n1": "n1", "t.node.": "", "t.lease": "", "u.node.n1": "", "t.node." + strings.Repeat("n", MaxName+1): ""} {
		if got, ok := NodeOf("t", key); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q", key, got)
		}
	}
}

func FuzzValues(f *testing.F) {
	good, err := member(2).append(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add((&Lease{Epoch: 1, Sequence: 1, Holder: "n1", Time: epoch}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parseMember(b); err == nil {
			if back, err := m.append(nil); err != nil || !bytes.Equal(back, b) {
				t.Errorf("%x is written as %x: %v", b, back, err)
			}
		}
		if l, err := parseLease(b); err == nil && !bytes.Equal(l.append(nil), b) {
			t.Errorf("%x is written as %x", b, l.append(nil))
		}
		k := NewKeys(secretOf("one"))
		if _, err := k.OpenMember("f", "t", "n1", b, epoch); err == nil {
			t.Error("a value that nobody sealed")
		}
	})
}

func FuzzSealed(f *testing.F) {
	k := NewKeys(secretOf("one"))
	f.Add([]byte{0, 3, 1, 2, 3})
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > MaxValue/2 {
			return
		}
		b, err := k.shut(bytes.NewReader(make([]byte, 24)), "f", "k", text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.open("f", "k", b); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%x: %x, %v", text, got, err)
		}
	})
}
