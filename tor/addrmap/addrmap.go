// Package addrmap says what host a request really means: MapAddress rules rewrite
// hosts, and a table of virtual addresses stands in for names that have no address
// (AutomapHostsOnResolve). It is pure: time is the order of use, and randomness is
// passed in.
//
//	host ── virtual address? ──▶ its name ─┐
//	  ▲     rule? ──▶ what it says ────────┤ at most 16 times, else refused
//	  └────────────────────────────────────┘
//
// A virtual address that stands for nothing is refused: none ever leaves the node.
package addrmap

import (
	"container/list"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"

	"chive/tor/socks"
)

// Why a host means nothing.
var (
	ErrVirtual = errors.New("virtual address that stands for no name")
	ErrLoop    = errors.New("MapAddress rules go round")
	ErrHost    = errors.New("MapAddress gives no valid host")
)

const (
	// MaxNames is how many names have virtual addresses at once; the one whose use
	// is longest ago loses its address.
	MaxNames = 8192
	maxSteps = 16
	maxTries = 64 // random addresses until one is free
)

// Rules are MapAddress lines, in order; the zero value has none.
type Rules struct {
	exact map[string]string
	wild  []rule
}

// rule is a wildcard: below a domain. to is a host, or a suffix that takes the place
// of from where keep is set.
type rule struct {
	from, to string
	keep     bool
}

// Line is one MapAddress: "a.b", "*.a.b" or an address, twice. A "*." in To needs
// one in From.
type Line struct{ From, To string }

// NewRules reads lines. Of two that match, an exact one wins, then the first.
func NewRules(lines []Line) Rules {
	r := Rules{exact: map[string]string{}}
	for _, l := range lines {
		from, below := strings.CutPrefix(strings.ToLower(l.From), "*.")
		to, keep := strings.CutPrefix(strings.ToLower(l.To), "*.")
		if below {
			r.wild = append(r.wild, rule{from, to, keep})
		} else if canonical, _, err := socks.ParseHost(from); err == nil && r.exact[canonical] == "" {
			r.exact[canonical] = to
		}
	}
	return r
}

// apply gives what a rule makes of a host.
func (r Rules) apply(host string) (string, bool) {
	if to := r.exact[host]; to != "" {
		return to, to != host
	}
	for _, w := range r.wild {
		// As in C tor, the domain itself matches, too.
		below, ok := strings.CutSuffix(host, w.from)
		if !ok || below != "" && !strings.HasSuffix(below, ".") {
			continue
		}
		to := w.to
		if w.keep {
			to = below + w.to
		}
		return to, to != host
	}
	return "", false
}

// Networks are where virtual addresses are from.
type Networks struct{ V4, V6 netip.Prefix }

func (n Networks) contains(a netip.Addr) bool { return n.V4.Contains(a) || n.V6.Contains(a) }

// Table is the virtual addresses that are in use. Not safe for concurrent use.
type Table struct {
	nets  Networks
	byKey map[key]*list.Element
	at    map[netip.Addr]*list.Element
	used  *list.List // of *entry, the last used first
}

type key struct {
	name string
	v6   bool
}

type entry struct {
	key
	addr netip.Addr
}

// NewTable makes an empty table.
func NewTable(nets Networks) *Table {
	return &Table{nets: nets, byKey: map[key]*list.Element{}, at: map[netip.Addr]*list.Element{}, used: list.New()}
}

// Move changes where new addresses are from. Those in use stay, while they are
// used; one whose network is no longer virtual stands for nothing any more.
func (t *Table) Move(nets Networks) {
	if t.nets == nets {
		return
	}
	t.nets = nets
	for e := t.used.Front(); e != nil; {
		next := e.Next()
		if x := e.Value.(*entry); !nets.contains(x.addr) {
			t.drop(e)
		}
		e = next
	}
}

func (t *Table) drop(e *list.Element) {
	x := e.Value.(*entry)
	delete(t.byKey, x.key)
	delete(t.at, x.addr)
	t.used.Remove(e)
}

// Name is the name that a virtual address stands for. virtual says that it is one,
// whether or not it stands for any.
func (t *Table) Name(a netip.Addr) (name string, virtual bool) {
	if e := t.at[a]; e != nil {
		t.used.MoveToFront(e)
		return e.Value.(*entry).name, true
	}
	return "", t.nets.contains(a)
}

// Address gives a name its virtual address, a new one if it has none. random gives
// random bits. It fails only if no address was found free.
func (t *Table) Address(name string, v6 bool, random func() uint64) (netip.Addr, bool) {
	k := key{name, v6}
	if e := t.byKey[k]; e != nil {
		t.used.MoveToFront(e)
		return e.Value.(*entry).addr, true
	}
	for range maxTries {
		a := t.draw(v6, random)
		if t.at[a] != nil || unusable(a) {
			continue
		}
		if t.used.Len() >= MaxNames {
			t.drop(t.used.Back())
		}
		e := t.used.PushFront(&entry{k, a})
		t.byKey[k], t.at[a] = e, e
		return a, true
	}
	return netip.Addr{}, false
}

// draw makes up an address of a network.
func (t *Table) draw(v6 bool, random func() uint64) netip.Addr {
	p := t.nets.V4
	if v6 {
		p = t.nets.V6
	}
	var bits [16]byte
	binary.BigEndian.PutUint64(bits[:], random())
	binary.BigEndian.PutUint64(bits[8:], random())
	base := p.Masked().Addr().AsSlice()
	for i := range base {
		mask := byte(0)
		if whole := p.Bits() - 8*i; whole >= 8 {
			mask = 0xff
		} else if whole > 0 {
			mask = ^byte(0xff >> whole)
		}
		base[i] |= bits[i] &^ mask
	}
	a, _ := netip.AddrFromSlice(base) // 4 or 16 bytes
	return a
}

// unusable: a program may take these for something else than one host.
func unusable(a netip.Addr) bool {
	b := a.AsSlice()
	last := b[len(b)-1]
	return last == 0 || last == 0xff || a.IsUnspecified() || a.IsMulticast()
}

// Rewrite gives what a canonical host means in the end. changed says that it is
// another.
func (t *Table) Rewrite(r Rules, host string) (meant string, isIP, changed bool, err error) {
	first := host
	for range maxSteps {
		canonical, isIP, err := socks.ParseHost(host)
		if err != nil {
			return "", false, false, ErrHost
		}
		host = canonical
		if isIP {
			addr, _ := netip.ParseAddr(host) // it is canonical
			name, virtual := t.Name(addr)
			if virtual && name == "" {
				if to, ok := r.apply(host); ok { // one that an operator chose
					host = to
					continue
				}
				return "", false, false, ErrVirtual
			}
			if virtual {
				host = name
				continue
			}
		}
		to, ok := r.apply(host)
		if !ok {
			return host, isIP, host != first, nil
		}
		host = to
	}
	return "", false, false, ErrLoop
}
