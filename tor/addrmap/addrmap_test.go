package addrmap_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"chive/tor/addrmap"
)

var nets = addrmap.Networks{V4: netip.MustParsePrefix("127.192.0.0/10"), V6: netip.MustParsePrefix("fe80::/10")}

// tor(1), MapAddress: exact hosts, and wildcards that match a domain and what is
// below it.
func TestRewrite(t *testing.T) {
	r := addrmap.NewRules([]addrmap.Line{
		{"A.example", "b.example"},
		{"a.example", "later.example"},
		{"b.example", "192.0.2.9"},
		{"*.wild.example", "*.other.example"},
		{"*.sink.example", "one.example"},
		{"192.0.2.1", "c.example"},
		{"here.wild.example", "exact.example"},
		{"x.loop", "y.loop"},
		{"y.loop", "x.loop"},
		{"self.example", "self.example"},
		{"127.192.9.9", "chosen.example"},
		{"bad.example", "a..b"},
		{"*.grow.example", "*.a.grow.example"},
		{"exit.example", "a.exit"},
	})
	table := addrmap.NewTable(nets)
	for host, want := range map[string]string{
		"a.example": "192.0.2.9", "b.example": "192.0.2.9", "c.example": "c.example", "192.0.2.1": "c.example",
		"x.y.wild.example": "x.y.other.example", "wild.example": "other.example", "notwild.example": "notwild.example",
		"here.wild.example": "exact.example", "x.sink.example": "one.example", "self.example": "self.example",
		"127.192.9.9": "chosen.example", "127.0.0.1": "127.0.0.1",
	} {
		got, isIP, changed, err := table.Rewrite(r, host)
		if _, bad := netip.ParseAddr(want); err != nil || got != want || changed != (got != host) || isIP != (bad == nil) {
			t.Errorf("%s: %s %v %v %v, want %s", host, got, isIP, changed, err, want)
		}
	}
	for host, want := range map[string]error{
		"x.loop": addrmap.ErrLoop, "127.192.1.1": addrmap.ErrVirtual, "fe80::1": addrmap.ErrVirtual, "bad.example": addrmap.ErrHost,
		"z.grow.example": addrmap.ErrLoop, "exit.example": addrmap.ErrHost,
	} {
		if got, _, _, err := table.Rewrite(r, host); !errors.Is(err, want) {
			t.Errorf("%s: %s, %v", host, got, err)
		}
	}
}

// An address is its name's alone while the table knows it, is from the network, and
// the table does not grow.
func TestTable(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)).Uint64
	table := addrmap.NewTable(nets)
	owner := map[netip.Addr]string{}
	for i := range addrmap.MaxNames + 100 {
		name := fmt.Sprintf("n%d.onion", i)
		for _, v6 := range []bool{false, true}[:1+i%2] {
			a, ok := table.Address(name, v6, random)
			net := nets.V4
			if v6 {
				net = nets.V6
			}
			if !ok || !net.Contains(a) {
				t.Fatalf("%s: %v %v", name, a, ok)
			}
			owner[a] = name
			if again, _ := table.Address(name, v6, random); again != a {
				t.Fatalf("%s: %v, then %v", name, a, again)
			}
		}
	}
	known := 0
	for a, name := range owner {
		got, virtual := table.Name(a)
		if !virtual || got != "" && got != name {
			t.Fatalf("%v is %q, was given to %q", a, got, name)
		}
		if got != "" {
			known++
		}
	}
	if known != addrmap.MaxNames {
		t.Errorf("%d names are known", known)
	}
	// What is used stays: the first name is asked for all the time.
	table = addrmap.NewTable(nets)
	first, _ := table.Address("first.example", false, random)
	for i := range 2 * addrmap.MaxNames {
		table.Address(fmt.Sprintf("n%d.onion", i), false, random)
		if name, _ := table.Name(first); name != "first.example" {
			t.Fatal("an address in use was forgotten")
		}
	}
	if got, _, _, err := table.Rewrite(addrmap.Rules{}, first.String()); got != "first.example" || err != nil {
		t.Error(got, err)
	}
	table.Move(addrmap.Networks{V4: netip.MustParsePrefix("10.0.0.0/8"), V6: nets.V6})
	if name, virtual := table.Name(first); name != "" || virtual {
		t.Errorf("%q after the network has moved", name)
	}
	// Random bits that never change find one address, and then none.
	stuck := func() uint64 { return 0x0101010101010101 }
	table = addrmap.NewTable(nets)
	if _, ok := table.Address("a.onion", false, stuck); !ok {
		t.Fatal("none")
	}
	if a, ok := table.Address("b.onion", false, stuck); ok {
		t.Errorf("two names at %v", a)
	}
}

func FuzzRewrite(f *testing.F) {
	f.Add("*.a", "*.b", "x.a")
	f.Add("10.0.0.1", "a.onion", "10.0.0.1")
	f.Fuzz(func(t *testing.T, from, to, host string) {
		table := addrmap.NewTable(nets)
		r := addrmap.NewRules([]addrmap.Line{{from, to}})
		got, isIP, _, err := table.Rewrite(r, host)
		if err != nil {
			return
		}
		if a, bad := netip.ParseAddr(got); isIP != (bad == nil) || isIP && (nets.V4.Contains(a) || nets.V6.Contains(a)) {
			t.Fatalf("%q: %q", host, got)
		}
	})
}
